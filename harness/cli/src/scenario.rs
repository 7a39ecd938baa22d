//! One scenario from file to verdicts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wireproof_lab::annotate;
use wireproof_lab::base::artifact::{self, RunDirectory};
use wireproof_lab::base::error::LabError;
use wireproof_lab::host::memory;
use wireproof_lab::host::need;
use wireproof_lab::run::{EngineCommand, run};
use wireproof_model::evidence::{Evidence, SavedEvidence};
use wireproof_model::judge::judge;
use wireproof_model::name::EngineName;
use wireproof_model::plan::{Need, OperatorCommand, Patience, Plan};
use wireproof_model::rejudge::Rejudged;
use wireproof_model::report::Report;
use wireproof_model::resolve;
use wireproof_model::text::shown_path;
use wireproof_model::verdict::Verdict;

use crate::engines;
use crate::failure::Failure;
use crate::input;

/// What a run directory's evidence is called.
const EVIDENCE: &str = "evidence.json";

/// A scenario that was run.
#[derive(Debug)]
pub struct JudgedRun {
    /// The resolved plan.
    pub plan: Plan,
    /// The evidence: what was observed.
    pub evidence: Evidence,
    /// The verdicts.
    pub verdicts: Vec<Verdict>,
    /// Where the captures, logs and evidence are.
    pub directory: PathBuf,
}

/// Reads a scenario and resolves it.
///
/// # Errors
/// The file cannot be read, or its content is wrong.
pub fn read(path: &Path) -> Result<Plan, Failure> {
    let text = input::text(path)?;
    Ok(resolve::plan(
        &path.display().to_string(),
        &text,
        &engines::built_in(),
    )?)
}

/// What is asked of the engine under test.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// Another one than the scenario's: a built-in name or a descriptor's file.
    pub instead: Option<&'a str>,
    /// A fault that its agents are to have.
    pub fault: Option<&'a str>,
    /// The WireGuard that they are to use.
    pub wireguard: Option<&'a str>,
    /// How many times as long everything may take.
    pub patience: Option<u32>,
}

/// The engine that a plan names, or the one asked for, checked to have a command for every step.
///
/// # Errors
/// As [`engines::find`]; or it lacks a command.
pub fn engine_for(plan: &mut Plan, asked: Asked<'_>) -> Result<EngineCommand, Failure> {
    let wanted = asked.instead.unwrap_or(plan.engine.as_str()).to_owned();
    let mut commands = plan.steps.iter().map(|step| step.action.change().command());
    let crashes = commands.any(|command| command == Some(OperatorCommand::TestAgent));
    let mut engine = engines::find(&wanted, crashes || asked.fault.is_some())?;
    if asked.fault.is_some() && engine.descriptor.fault.is_none() {
        return Err(Failure::Unknown {
            what: format!("engine `{wanted}` cannot be asked for a fault"),
            help: "add `fault = [\"--fault\", \"{fault}\"]` to its descriptor".into(),
        });
    }
    if asked.wireguard.is_some() && engine.descriptor.wireguard.is_none() {
        return Err(Failure::Unknown {
            what: format!("engine `{wanted}` cannot be asked for another WireGuard"),
            help: "add `wireguard = [\"--backend\", \"{wireguard}\"]` to its descriptor".into(),
        });
    }
    engine.fault = asked.fault.map(str::to_owned);
    // What only a process can show is shown by one, on a machine whose kernel has WireGuard too.
    let wireguard = match (asked.wireguard, &engine.descriptor.wireguard) {
        (None, Some(_)) if plan.needs().contains(&Need::Userspace) => Some("userspace"),
        (asked, _) => asked,
    };
    engine.wireguard = wireguard.map(engines::wireguard).transpose()?;
    plan.throws = engine.descriptor.throws;
    plan.calico_values = engine.descriptor.calico_values;
    plan.conduct = engine.descriptor.conduct.clone();
    if let Some(times) = asked.patience {
        plan.wait_longer(Patience::times(times));
    }
    if let Some(stem) = Path::new(&wanted)
        .file_stem()
        .and_then(|stem| stem.to_str())
        && let Ok(name) = stem.parse::<EngineName>()
    {
        plan.engine = name;
    }
    match plan
        .steps
        .iter()
        .find(|step| !engine.descriptor.supports(&step.action))
    {
        None => Ok(engine),
        Some(step) => Err(Failure::Unknown {
            what: format!(
                "engine `{wanted}` has no command for `{}`",
                step.action.as_str()
            ),
            help: "add it to the engine's descriptor, or choose another engine".into(),
        }),
    }
}

/// Everything that a plan needs of a lane to be tried with an engine. What runs no program on the nodes
/// needs no WireGuard.
pub fn needs_of(plan: &Plan, engine: &EngineCommand) -> BTreeSet<Need> {
    let mut needs = plan.needs_with(engine.wireguard.as_deref());
    if engine.descriptor.agent.is_none() {
        needs.remove(&Need::AnyWireGuard);
    }
    needs.extend((!engine.descriptor.contained).then_some(Need::OwnKernel));
    needs
}

/// Runs a plan, judges what was observed, and leaves both in a new run directory below `runs`. `phase` is
/// called with the name of each phase as it begins.
///
/// # Errors
/// The machine or the engine failed. The error names the run directory.
pub fn prove(
    plan: Plan,
    engine: &EngineCommand,
    runs: &Path,
    name: &str,
    phase: impl FnMut(&str),
) -> Result<JudgedRun, Failure> {
    let (directory, evidence) = observe(&plan, engine, runs, name, phase)?;
    conclude(plan, evidence, &directory)
}

/// Judges what somebody else has observed and left in a run directory, and leaves the verdicts
/// there too.
///
/// # Errors
/// As [`judge_again`]; or the verdicts cannot be written.
pub fn conclude_saved(directory: &Path) -> Result<JudgedRun, Failure> {
    let (plan, evidence, directory) = load(directory)?;
    conclude(plan, evidence, &RunDirectory::at(directory))
}

/// Verdicts, and comments on the frames that decided them.
fn conclude(
    plan: Plan,
    evidence: Evidence,
    directory: &RunDirectory,
) -> Result<JudgedRun, Failure> {
    let verdicts = judge(&plan, &evidence);
    directory.save("verdicts.json", &verdicts)?;
    let comments = Report::new(&plan, &evidence, &verdicts).comments();
    annotate::annotate(directory.path(), comments)?;
    Ok(JudgedRun {
        plan,
        evidence,
        verdicts,
        directory: directory.path().to_owned(),
    })
}

/// Leaves a run directory with the reason for which a plan was not tried.
///
/// # Errors
/// It cannot be written.
pub fn skip(plan: &Plan, why: String, runs: &Path, name: &str) -> Result<JudgedRun, Failure> {
    let directory = RunDirectory::create(runs, name)?;
    let evidence = Evidence::skipped(why);
    let verdicts = judge(plan, &evidence);
    directory.save("plan.json", plan)?;
    directory.save(EVIDENCE, &SavedEvidence::new(plan, &evidence))?;
    directory.save("verdicts.json", &verdicts)?;
    Ok(JudgedRun {
        plan: plan.clone(),
        evidence,
        verdicts,
        directory: directory.path().to_owned(),
    })
}

/// Runs a plan, and leaves what was observed in a new run directory below `runs`.
///
/// # Errors
/// As [`prove`].
pub fn observe(
    plan: &Plan,
    engine: &EngineCommand,
    runs: &Path,
    name: &str,
    phase: impl FnMut(&str),
) -> Result<(RunDirectory, Evidence), Failure> {
    let directory = RunDirectory::create(runs, name)?;
    directory.save("plan.json", plan)?;
    let unmet = || need::unmet(&needs_of(plan, engine)).or_else(|| memory::unmet(plan));
    let run = |plan| match unmet() {
        Some(why) => Ok(Evidence::skipped(why)),
        None => run(plan, engine, &directory, phase),
    };
    let evidence = run(plan).map_err(|error| {
        let help = match &error.help {
            Some(help) => format!("{help}\n  run directory: {}", shown_path(&directory.path())),
            None => format!("the run directory is {}", shown_path(&directory.path())),
        };
        LabError {
            help: Some(help),
            ..error
        }
    })?;
    directory.save(EVIDENCE, &SavedEvidence::new(plan, &evidence))?;
    Ok((directory, evidence))
}

/// Judges a saved run again.
///
/// # Errors
/// A file of it is missing, or is of another version.
pub fn judge_again(directory: &Path) -> Result<JudgedRun, Failure> {
    let (plan, evidence, directory) = load(directory)?;
    let verdicts = judge(&plan, &evidence);
    Ok(JudgedRun {
        plan,
        evidence,
        verdicts,
        directory,
    })
}

/// Judges a saved run by the promises of another scenario, which is about the same cluster.
///
/// # Errors
/// As [`judge_again`] and [`read`]; or the scenario is about another cluster.
pub fn judge_by(directory: &Path, scenario: &Path) -> Result<JudgedRun, Failure> {
    let wanted = read(scenario)?;
    let (seen, evidence, directory) = load(directory)?;
    let expected = Rejudged::new(&seen, wanted).map_err(|different| Failure::Unknown {
        what: format!(
            "{} is about another cluster than the run in {}\n  {}",
            shown_path(&scenario),
            shown_path(&directory),
            different.join("\n  ")
        ),
        help: "only promises may differ: write the run's nodes, fabric, steps and spoofs".into(),
    })?;
    Ok(JudgedRun {
        verdicts: expected.judge(&evidence),
        plan: expected.plan,
        evidence,
        directory,
    })
}

/// What a run directory holds, and which it is where `latest` is named.
fn load(directory: &Path) -> Result<(Plan, Evidence, PathBuf), Failure> {
    fn file<T>(path: PathBuf, parse: fn(&str) -> Result<T, String>) -> Result<T, Failure> {
        parse(&input::saved(&path)?).map_err(|cause| Failure::Unreadable { path, cause })
    }
    let named = directory;
    let directory = artifact::attempt(named);
    if !directory.join("plan.json").is_file() {
        let what = match named.exists() {
            true => format!(
                "{} is no run directory: it holds no plan.json",
                shown_path(&named)
            ),
            false => format!("there is no {}", shown_path(&named)),
        };
        return Err(Failure::Unknown {
            what,
            help: "name the folder that `wireproof run` told at the end of a scenario's report, such as `runs/first/two-nodes`".into(),
        });
    }
    let plan = file(directory.join("plan.json"), |text| {
        serde_json::from_str(text).map_err(|error| error.to_string())
    })?;
    let saved = file(directory.join(EVIDENCE), SavedEvidence::parse)?;
    let evidence = saved.open(&plan);
    Ok((plan, evidence, directory))
}
