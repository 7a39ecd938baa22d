//! Uses of modules by other modules of a crate: read from the syntax of its files, with imports, re-exports and
//! paths written out in code and in macros. What is compiled for tests only is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use syn::visit::{self, Visit};

/// A module by the names that lead to it from its crate's root, which has none.
pub(crate) type Module = Vec<String>;

/// How many imports of imports are followed.
const MOST_HOPS: usize = 8;

/// One module as its file has it.
#[derive(Debug, Default)]
struct Read {
    file: PathBuf,
    /// The modules that it declares, in order.
    children: Vec<String>,
    /// What its imports bring in: the name here, and the path there.
    imports: Vec<(String, Vec<String>)>,
    /// Every path that it names.
    paths: Vec<Vec<String>>,
}

/// All modules of a crate.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    modules: BTreeMap<Module, Read>,
}

/// One module uses another; both are declared by the same one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pair {
    /// The module that declares both.
    pub(crate) parent: Module,
    /// The one that uses.
    pub(crate) from: String,
    /// The one that is used.
    pub(crate) to: String,
    /// Whether the one that is used is declared below the one that uses it.
    pub(crate) against_the_order: bool,
    /// A file in which it is used.
    pub(crate) file: PathBuf,
}

impl fmt::Display for Pair {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, parent) = (self.file.display(), self.parent.join("::"));
        write!(
            to,
            "{file}: {} uses {}, which {parent} declares below it",
            self.from, self.to
        )
    }
}

impl Crate {
    /// Reads a crate from the file of its root.
    pub(crate) fn read(root: &Path) -> Self {
        let mut read = Self::default();
        let folder = root.parent().unwrap();
        let file = parsed(root);
        read.take(Vec::new(), root, folder, &file.items);
        read
    }

    /// Takes in the items of one module, whose children's files are in `folder`.
    fn take(&mut self, module: Module, file: &Path, folder: &Path, items: &[syn::Item]) {
        let mut reader = Reader::default();
        for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
            let syn::Item::Mod(child) = item else {
                reader.visit_item(item);
                continue;
            };
            let name = child.ident.to_string();
            let path = [module.clone(), vec![name.clone()]].concat();
            let inside = folder.join(&name);
            if let Some((_, items)) = &child.content {
                self.take(path, file, &inside, items);
            } else {
                let beside = folder.join(format!("{name}.rs"));
                let at = if beside.is_file() {
                    beside
                } else {
                    inside.join("mod.rs")
                };
                self.take(path, &at, &inside, &parsed(&at).items);
            }
            reader.read.children.push(name);
        }
        reader.read.file = file.to_owned();
        self.modules.insert(module, reader.read);
    }

    /// The module in which what a path names is defined, if it is one of this crate.
    fn resolve(&self, from: &Module, path: &[String], hops: usize) -> Option<Module> {
        let (first, mut rest) = path.split_first()?;
        let mut at = match first.as_str() {
            "crate" => Vec::new(),
            "self" => from.clone(),
            "super" => from.split_last()?.1.to_vec(),
            _ => return self.enter(from, path, hops).filter(|_| hops > 0),
        };
        while let Some((first, after)) = rest.split_first().filter(|(first, _)| *first == "super") {
            debug_assert_eq!(first, "super");
            at.pop()?;
            rest = after;
        }
        self.enter(&at, rest, hops)
    }

    /// The same for a path whose first name is looked up in a module.
    fn enter(&self, module: &Module, path: &[String], hops: usize) -> Option<Module> {
        let read = self.modules.get(module)?;
        let Some((first, rest)) = path.split_first() else {
            return Some(module.clone());
        };
        if read.children.contains(first) {
            let child = [module.clone(), vec![first.clone()]].concat();
            return self.enter(&child, rest, hops);
        }
        let import = read.imports.iter().find(|(name, _)| name == first);
        match import.filter(|_| hops > 0) {
            Some((_, to)) => {
                let to = [to.clone(), rest.to_vec()].concat();
                // What comes from another crate is this module's own matter.
                self.resolve(module, &to, hops - 1).or(Some(module.clone()))
            }
            None => Some(module.clone()),
        }
    }

    /// The pairs of modules of which one uses the other, at every level.
    pub(crate) fn pairs(&self) -> BTreeSet<Pair> {
        let mut pairs = BTreeMap::new();
        for (module, read) in &self.modules {
            for path in &read.paths {
                let starts_here = ["crate", "self", "super"].contains(&path[0].as_str())
                    || read.children.contains(&path[0]);
                let Some(target) = self
                    .resolve(module, path, MOST_HOPS)
                    .filter(|_| starts_here)
                else {
                    continue;
                };
                let common = module
                    .iter()
                    .zip(&target)
                    .take_while(|(a, b)| a == b)
                    .count();
                let (Some(from), Some(to)) = (module.get(common), target.get(common)) else {
                    continue;
                };
                let parent = module[..common].to_vec();
                let order = &self.modules[&parent].children;
                let place = |name: &String| order.iter().position(|child| child == name);
                let key = (parent.clone(), from.clone(), to.clone());
                pairs.entry(key).or_insert_with(|| Pair {
                    parent,
                    from: from.clone(),
                    to: to.clone(),
                    against_the_order: place(to) > place(from),
                    file: read.file.clone(),
                });
            }
        }
        pairs.into_values().collect()
    }

    /// How many modules were read.
    pub(crate) fn len(&self) -> usize {
        self.modules.len()
    }
}

fn parsed(file: &Path) -> syn::File {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Const(item) => &item.attrs,
        _ => &[],
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string() == "test",
        _ => false,
    })
}

/// Gathers the paths of a module's items.
#[derive(Debug, Default)]
struct Reader {
    read: Read,
}

impl<'a> Visit<'a> for Reader {
    fn visit_item_use(&mut self, item: &'a syn::ItemUse) {
        self.import(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.read.paths.push(names(path));
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'a syn::Macro) {
        self.read.paths.push(names(&called.path));
        self.written(called.tokens.clone());
    }
}

impl Reader {
    fn import(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [before.to_vec(), vec![name.to_string()]].concat();
        let mut bring = |name: String, path: Vec<String>| {
            self.read.paths.push(path.clone());
            self.read.imports.push((name, path));
        };
        match tree {
            syn::UseTree::Path(path) => self.import(&with(&path.ident), &path.tree),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(before, tree);
                }
            }
            syn::UseTree::Glob(_) => self.read.paths.push(before.to_vec()),
            // `use a::b::{self}` brings in `b`.
            syn::UseTree::Name(name) if name.ident == "self" => {
                bring(before.last().cloned().unwrap_or_default(), before.to_vec());
            }
            syn::UseTree::Name(name) => bring(name.ident.to_string(), with(&name.ident)),
            syn::UseTree::Rename(name) => bring(name.rename.to_string(), with(&name.ident)),
        }
    }

    /// Paths among the tokens that a macro is given.
    fn written(&mut self, tokens: proc_macro2::TokenStream) {
        let mut path = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                proc_macro2::TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.ended(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                proc_macro2::TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                proc_macro2::TokenTree::Group(group) => {
                    self.ended(&mut path);
                    self.written(group.stream());
                }
                _ => self.ended(&mut path),
            }
        }
        self.ended(&mut path);
    }

    fn ended(&mut self, path: &mut Vec<String>) {
        if path.len() > 1 {
            self.read.paths.push(std::mem::take(path));
        }
        path.clear();
    }
}

fn names(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}
