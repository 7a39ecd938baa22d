//! Values at the edges of what the fields of Calico's resources can hold.

use serde_json::{Value, json};

use crate::random::Random;

/// Texts: names, addresses, networks, durations, keys, selectors, lists.
const TEXTS: &[&str] = &[
    "",
    " ",
    "ada",
    "bob",
    "nobody",
    "default",
    "Default",
    "node.ada",
    "..",
    "/",
    "-x",
    "@x",
    "all",
    "lo",
    "outside",
    "wireguard.cali",
    "wg4",
    "abcdefghijklmno",
    "abcdefghijklmnop",
    "cali,",
    "cali,xxxxxxxxxxxxxxx",
    "a b",
    "a\0b",
    "x\n2026-11-29T01:02:15.5Z ERROR forged",
    "\u{1b}[31mred",
    "\u{85}\u{2028}",
    "\u{202e}abc",
    "京都",
    "e\u{301}\u{1f9ff}",
    "\"; flush ruleset; #",
    "{{.}} %s $(id) `id`",
    "true",
    "null",
    "~",
    "0s",
    "1ns",
    "-5s",
    "1.5s",
    "1m30s",
    "99999999999999999999h",
    "9223372036854775807s",
    "18446744073709551615ns",
    "0.0.0.0",
    "0.0.0.0/0",
    "127.0.0.1",
    "127.0.0.0/8",
    "10.0.0.1",
    "10.0.0.1/24",
    "10.0.0.2/32",
    "10.0.0.255/24",
    "10.0.0.0/33",
    "10.0.1.1/32",
    "10.65.1.0/26",
    "10.65.0.0/8",
    "010.0.0.1",
    "169.254.169.254/32",
    "224.0.0.1",
    "255.255.255.255/32",
    "::",
    "::/0",
    "::1/128",
    "fd00::1/64",
    "fd00::2",
    "fe80::1",
    "fe80::1%outside",
    "ff02::1",
    "::ffff:10.0.0.2",
    "10.9.0.0/16,foo,fd09::/32",
    ",",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "mYgJpqAK5sOuVbmRyUjhkYB3OjgvL+0xw8rh+xgFuVo=",
    "nYgJpqAK5sOuVbmRyUjhkYB3OjgvL+0xw8rh+xgFuVo=",
    "mYgJpqAK5sOuVbmRyUjhkYB3OjgvL+0xw8rh+xgFuVp=",
    "mYgJpqAK5sOuVbmRyUjhkYB3OjgvL+0xw8rh+xgFuQ==",
    "host:ada",
    "host:",
    "virtual:load-balancer",
    "all()",
    "has(gpu)",
    "!!!!has(gpu)",
    "gpu == 'yes",
    "rack in {",
    "rack in {\"1\", '2'} && (has(gpu) || !has(gpu))",
    "global()",
    "WorkloadIPs",
    "CalicoIPAM",
    "Disabled",
    "^outside$",
    "[",
    "(a*)*$",
    "2023-06-03T14:01:30Z",
    "aks",
    "k8s,aks",
    "v1",
    "projectcalico.org/v3",
    "crd.projectcalico.org/v1",
    "Node",
    "NodeList",
    "List",
    "WorkloadEndpoint",
    "FelixConfiguration",
    "ClusterInformation",
    "IPPool",
    "IPAMBlock",
    "InternalIP",
    "ExternalIP",
];

/// Numbers: ports, MTUs, priorities, marks, ends of ranges.
const NUMBERS: &[u64] = &[
    0,
    1,
    53,
    99,
    253,
    254,
    255,
    256,
    575,
    576,
    1279,
    1280,
    1420,
    1500,
    9000,
    9091,
    32765,
    32766,
    51820,
    51821,
    65535,
    65536,
    0x4000,
    0xc000,
    0x8000,
    0xffff_0000,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    u64::MAX,
];

/// How many characters a long text has, how many entries a long list.
const LONG: &[usize] = &[15, 16, 63, 64, 253, 254, 2001, 65_536, 500_000];

/// Fields of a FelixConfiguration's spec, and annotations of it.
const FIELDS: &[&str] = &[
    "spec/wireguardEnabled",
    "spec/wireguardEnabledV6",
    "spec/wireguardHostEncryptionEnabled",
    "spec/wireguardInterfaceName",
    "spec/wireguardInterfaceNameV6",
    "spec/wireguardListeningPort",
    "spec/wireguardListeningPortV6",
    "spec/wireguardMTU",
    "spec/wireguardMTUV6",
    "spec/wireguardRoutingRulePriority",
    "spec/wireguardKeepAlive",
    "spec/wireguardThreadingEnabled",
    "spec/routeRefreshInterval",
    "spec/routeSource",
    "spec/routeTableRange",
    "spec/routeTableRanges",
    "spec/iptablesMarkMask",
    "spec/interfacePrefix",
    "spec/mtuIfacePattern",
    "spec/prometheusMetricsEnabled",
    "spec/prometheusMetricsHost",
    "spec/prometheusMetricsPort",
    "spec/nodeSelector",
    "metadata/annotations/wiremesh~1strict",
    "metadata/annotations/wiremesh~1plain-nodes",
    "metadata/annotations/wiremesh~1strict-networks",
    "metadata/annotations/wiremesh~1foreign-peers",
    "metadata/annotations/wiremesh~1external-addresses",
    "metadata/annotations/wiremesh~1rotate-key",
    "metadata/annotations/config.projectcalico.org~1wireguardMTU",
    "metadata/annotations/config.projectcalico.org~1iptablesMarkMask",
];

/// The JSON pointer of any field that a FelixConfiguration may have.
pub(crate) fn field(random: &mut Random) -> String {
    format!("/{}", random.pick(FIELDS).copied().unwrap_or_default())
}

fn text(random: &mut Random) -> &'static str {
    random.pick(TEXTS).copied().unwrap_or_default()
}

fn number(random: &mut Random) -> u64 {
    random.pick(NUMBERS).copied().unwrap_or_default()
}

fn long(random: &mut Random) -> usize {
    random.pick(LONG).copied().unwrap_or_default()
}

/// Any value.
pub(crate) fn value(random: &mut Random) -> Value {
    match random.below(20) {
        0 => Value::Null,
        1 | 2 => json!(random.once_in(2)),
        3..=5 => json!(number(random)),
        6 => json!(number(random).cast_signed().wrapping_neg()),
        7 => json!([1.5, -0.0, 1e308, 5e-324][random.below(4)]),
        8 => json!([]),
        9 => json!({}),
        10 => json!([text(random), number(random), null, [], {}]),
        11 => json!({"min": number(random), "max": number(random)}),
        12 => json!([{"min": number(random), "max": number(random)}, {"min": 1, "max": 250}]),
        13 => {
            let c = random
                .pick(&['a', '0', 'é', '!', '(', ','])
                .copied()
                .unwrap_or('a');
            json!(String::from(c).repeat(long(random)))
        }
        14 => {
            let depth = random
                .pick(&[1, 126, 127, 128, 129, 500])
                .copied()
                .unwrap_or_default();
            (0..depth).fold(json!(1), |inner, _| json!([inner]))
        }
        15 if random.once_in(4) => {
            let length = long(random).min(16_384);
            json!(vec![value_of_a_list(random); length])
        }
        _ => json!(text(random)),
    }
}

fn value_of_a_list(random: &mut Random) -> Value {
    match random.below(3) {
        0 => json!(0),
        1 => json!(text(random)),
        _ => json!({"address": text(random), "type": "InternalIP"}),
    }
}
