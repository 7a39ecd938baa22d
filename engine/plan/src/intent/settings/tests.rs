//! Each field as Felix reads it, and the message about a wrong one.

use serde_json::json;

use super::*;

fn read(spec: Value) -> (Settings, Vec<String>) {
    let Value::Object(spec) = spec else { panic!() };
    let mut settings = Settings::default();
    let configuration = Configuration {
        spec,
        ..Configuration::default()
    };
    let wrong = settings
        .read(&configuration)
        .iter()
        .map(ToString::to_string)
        .collect();
    (settings, wrong)
}

#[test]
fn the_default_mask_gives_the_mark_of_the_reference() {
    assert_eq!(Settings::default().mark, 0x10_0000);
    assert_eq!(
        read(json!({"iptablesMarkMask": 0xffff_8000_u32})).0.mark,
        0x8_0000
    );
}

#[test]
fn aks_with_host_encryption_costs_160_bytes_and_anything_else_60() {
    let (both, _) = read(json!({"wireguardHostEncryptionEnabled": true}));
    assert_eq!(both.device_mtu(Family::V4, 1500, true), 1340);
    assert_eq!(both.device_mtu(Family::V4, 1500, false), 1440);
    assert_eq!(Settings::default().device_mtu(Family::V4, 1500, true), 1440);
    assert_eq!(both.device_mtu(Family::V6, 1500, true), 1320);
    assert_eq!(both.device_mtu(Family::V6, 1500, false), 1420);
    assert_eq!(both.device_mtu(Family::V6, 1280, false), 1280);
    assert_eq!(both.device_mtu(Family::V4, 1280, false), 1220);
    assert_eq!(
        read(json!({"wireguardMTU": 1300}))
            .0
            .device_mtu(Family::V4, 1500, true),
        1300
    );
}

#[test]
fn every_wrong_field_is_reported_and_the_others_count() {
    let (settings, wrong) = read(json!({
        "wireguardEnabled": "yes", "wireguardListeningPort": 0, "wireguardKeepAlive": "soon",
        "routeSource": "workloadips", "wireguardMTU": 9,
    }));
    assert_eq!(
        wrong,
        [
            "`spec.wireguardEnabled` is neither true nor false",
            "`spec.wireguardMTU` is not a whole number from 576 to 65535",
            "`spec.wireguardListeningPort` is not a whole number from 1 to 65535",
            "`spec.wireguardKeepAlive` is not a duration of 0s to 65535s",
        ]
    );
    assert_eq!(settings.route_source, RouteSource::WorkloadIps);
    assert_eq!(settings.tunnel.v4.mtu, None);
}

#[test]
fn a_keepalive_is_a_duration() {
    assert_eq!(read(json!({"wireguardKeepAlive": "25s"})).0.keepalive, 25);
    assert_eq!(read(json!({"wireguardKeepAlive": "2m"})).0.keepalive, 120);
}

fn annotated(annotations: &[(&str, &str)]) -> (Settings, Vec<String>) {
    let configuration = Configuration {
        annotations: annotations
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Configuration::default()
    };
    let mut settings = Settings::default();
    let wrong = settings.read(&configuration);
    (settings, wrong.iter().map(ToString::to_string).collect())
}

#[test]
fn the_families_do_not_share_a_device() {
    let (settings, wrong) = read(json!({"wireguardInterfaceNameV6": "wireguard.cali"}));
    assert_eq!(settings.tunnel.v6.interface, "wg-v6.cali");
    assert_eq!(wrong.len(), 1);
}

#[test]
fn strict_is_an_annotation_that_calico_keeps() {
    let (settings, wrong) = annotated(&[
        ("wiremesh/strict", "true"),
        ("wiremesh/plain-nodes", "a, b"),
        ("wiremesh/strict-networks", "10.0.0.0/8, fd00::/8"),
    ]);
    let strict = settings.strict.unwrap();
    assert_eq!(strict.plain_nodes, ["a", "b"].map(String::from).into());
    assert_eq!(strict.networks.len(), 2);
    assert!(wrong.is_empty());
}

#[test]
fn a_strict_that_cannot_be_read_counts_as_true() {
    for text in ["yes", "True", "flase", "", "null"] {
        let (settings, wrong) = annotated(&[("wiremesh/strict", text)]);
        assert!(settings.strict.is_some(), "{text}");
        assert_eq!(
            wrong,
            [format!(
                "`metadata.annotations.wiremesh/strict` holds `{text}`: it is neither \"true\" nor \
                 \"false\", and counts as \"true\""
            )]
        );
    }
    assert_eq!(annotated(&[("wiremesh/strict", "false")]).0.strict, None);
}

#[test]
fn a_wrong_strict_network_is_reported_and_the_others_are_protected() {
    let (settings, wrong) = annotated(&[
        ("wiremesh/strict", "true"),
        ("wiremesh/strict-networks", "foo,10.1/16,10.2.0.0/16"),
    ]);
    let networks = settings.strict.unwrap().networks;
    let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.1.0.0/16", "10.2.0.0/16"]);
    assert_eq!(
        wrong,
        [
            "`metadata.annotations.wiremesh/strict-networks` holds `foo` at character 1 is no \
             network: write ADDRESS/LENGTH, such as 10.0.0.0/8 or fd00::/8",
            "`metadata.annotations.wiremesh/strict-networks` holds `10.1/16` at character 5 is no \
             network: did you mean `10.1.0.0/16`?",
        ]
    );
}

#[test]
fn an_annotation_with_a_slip_in_its_name_or_without_effect_is_reported() {
    let (_, wrong) = annotated(&[
        ("wiremesh/strict-network", "10.0.0.0/8"),
        ("other/strict", "x"),
    ]);
    assert_eq!(
        wrong,
        [
            "`metadata.annotations.wiremesh/strict-network` is unknown: did you mean \
          `wiremesh/strict-networks`?"
        ]
    );
    let (_, wrong) = annotated(&[("wiremesh/strict-networks", "10.0.0.0/8")]);
    assert_eq!(
        wrong,
        [
            "`metadata.annotations.wiremesh/strict-networks` has no effect: `wiremesh/strict` is not \
          \"true\""
        ]
    );
    let off = [
        ("wiremesh/strict-networks", "10.0.0.0/8"),
        ("wiremesh/strict", "false"),
    ];
    assert_eq!(annotated(&off).1, [""; 0]);
}

#[test]
fn a_switch_of_encryption_that_cannot_be_read_counts_as_on_in_strict_mode() {
    let read = |strict: &str| {
        let configuration = Configuration {
            spec: json!({"wireguardEnabled": "yes", "wireguardEnabledV6": false})
                .as_object()
                .unwrap()
                .clone(),
            annotations: [("wiremesh/strict".to_owned(), strict.to_owned())].into(),
            ..Configuration::default()
        };
        let mut settings = Settings::default();
        let wrong = settings.read(&configuration);
        let enabled = settings.tunnel.iter().map(|(_, tunnel)| tunnel.enabled);
        (enabled.collect::<Vec<_>>(), wrong[0].to_string())
    };
    assert_eq!(
        read("true"),
        (
            vec![true, false],
            "`spec.wireguardEnabled` is neither true nor false, and counts as true while strict \
             mode is on"
                .to_owned()
        )
    );
    assert_eq!(
        read("false"),
        (
            vec![false, false],
            "`spec.wireguardEnabled` is neither true nor false".to_owned()
        )
    );
}

#[test]
fn metrics_are_enabled_by_felix_s_fields() {
    let metrics = |spec| read(spec).0.metrics;
    assert!(!metrics(json!({})).enabled);
    let all = metrics(json!({"prometheusMetricsEnabled": true}));
    assert_eq!((all.enabled, all.wireguard), (true, true));
    assert_eq!(all.address.to_string(), "[::]:9091");
    let own = metrics(json!({
        "prometheusMetricsHost": "10.0.0.1", "prometheusMetricsPort": 9000,
        "prometheusWireGuardMetricsEnabled": false,
    }));
    assert_eq!(
        (own.address.to_string().as_str(), own.wireguard),
        ("10.0.0.1:9000", false)
    );
    let (_, wrong) = read(json!({"prometheusMetricsHost": "node"}));
    assert_eq!(wrong, ["`spec.prometheusMetricsHost` is no IP address"]);
}

#[test]
fn the_table_is_taken_from_ranges() {
    let ranges = json!({"routeTableRanges": [{"min": 5, "max": 9}, {"min": 300, "max": 301}]});
    assert_eq!(read(ranges).0.tables, [(5, 9), (300, 301)]);
    assert_eq!(
        read(json!({"routeTableRanges": [{"min": 9, "max": 5}]}))
            .1
            .len(),
        1
    );
    assert_eq!(
        read(json!({"routeTableRange": {"min": 7, "max": 7}}))
            .0
            .tables,
        [(7, 7)]
    );
}

#[test]
fn a_number_that_a_clock_or_the_kernel_cannot_take_is_refused_and_the_rest_counts() {
    let (settings, wrong) = read(json!({
        "routeRefreshInterval": "9223372036854775807s", "wireguardKeepAlive": "65536s",
        "wireguardMTU": 575, "wireguardMTUV6": 1279, "wireguardRoutingRulePriority": 32766,
        "wireguardEnabled": true, "iptablesMarkMask": 0xfc00,
        "wireguardInterfaceName": "@x", "interfacePrefix": "cali,@x,123456789012345",
    }));
    let expected = Settings::default();
    assert_eq!(wrong.len(), 9, "{wrong:#?}");
    assert!(settings.tunnel.v4.enabled);
    assert_eq!(settings.resync, expected.resync);
    assert_eq!(settings.keepalive, expected.keepalive);
    assert_eq!(settings.mark, expected.mark);
    assert_eq!(
        (settings.tunnel.v4.mtu, settings.tunnel.v6.mtu),
        (None, None)
    );
    assert_eq!(settings.tunnel.v4.interface, expected.tunnel.v4.interface);
    assert_eq!(settings.pod_interfaces, expected.pod_interfaces);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the longest is for clocks")]
fn refresh_intervals_are_durations_as_go_writes_them() {
    let resync = |text: &str| {
        let (settings, wrong) = read(json!({"routeRefreshInterval": text}));
        wrong.is_empty().then_some(settings.resync)
    };
    assert_eq!(resync("1m30s"), Some(Duration::from_secs(90)));
    assert_eq!(resync("0s"), Some(RESYNC_MAX));
    assert_eq!(resync("1ns"), None);
    assert_eq!(resync("8761h"), None);
    let (settings, wrong) = read(json!({"wireguardKeepAlive": "1m30s"}));
    assert_eq!((settings.keepalive, wrong.len()), (90, 0));
    // No clock overflows.
    assert!(std::time::Instant::now().checked_add(RESYNC_MAX).is_some());
}

#[test]
fn an_mtu_above_the_uplink_s_is_not_set_and_is_reported() {
    let (settings, wrong) = read(json!({"wireguardMTU": 9000, "wireguardMTUV6": 9000}));
    assert!(wrong.is_empty());
    assert_eq!(settings.device_mtu(Family::V4, 1500, false), 1440);
    assert_eq!(settings.device_mtu(Family::V6, 1500, false), 1420);
    assert_eq!(settings.device_mtu(Family::V4, 9000, false), 9000);
    assert_eq!(settings.mtu_too_large(Family::V4, 9000), None);
    assert_eq!(
        settings
            .mtu_too_large(Family::V6, 1500)
            .unwrap()
            .to_string(),
        "`spec.wireguardMTUV6` is 9000, more than the uplink's 1500, and is not set"
    );
}

#[test]
fn a_range_of_the_kernels_own_tables_alone_is_refused() {
    for (min, max) in [(254, 254), (255, 255), (253, 255)] {
        let (settings, wrong) = read(json!({"routeTableRanges": [{"min": min, "max": max}]}));
        assert_eq!(
            wrong,
            [
                "`spec.routeTableRanges` holds the kernel's own tables alone (253 to 255: default, main and local)"
            ]
        );
        assert_eq!(settings.tables, Settings::default().tables);
    }
}

#[test]
fn strict_mode_without_wireguard_enabled_is_reported() {
    let configuration = |spec: Value, annotations: &[(&str, &str)]| {
        let Value::Object(spec) = spec else { panic!() };
        let annotations = annotations.iter();
        Configuration {
            spec,
            annotations: annotations
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Configuration::default()
        }
    };
    let unstated = |configurations: &[Configuration]| {
        let mut settings = Settings::default();
        for configuration in configurations {
            settings.read(configuration);
        }
        settings
            .unstated(
                configurations,
                PerFamily {
                    v4: true,
                    v6: false,
                },
            )
            .iter()
            .any(|wrong| wrong.field.contains("wireguardEnabled"))
    };
    let strict = ("wiremesh/strict", "true");
    let without = || configuration(json!({}), &[strict]);
    let null = json!({"wireguardEnabled": null, "wireguardEnabledV6": null});
    assert!(unstated(&[without()]));
    assert!(unstated(&[configuration(null, &[strict])]));
    // Without strict mode it is off, as Felix has it.
    assert!(!unstated(&[configuration(json!({}), &[])]));
    let overridden = ("config.projectcalico.org/wireguardEnabled", "false");
    for stated in [
        configuration(json!({"wireguardEnabled": false}), &[]),
        configuration(
            json!({"wireguardEnabled": true, "wireguardEnabledV6": true}),
            &[],
        ),
        configuration(json!({}), &[overridden]),
    ] {
        assert!(!unstated(&[without(), stated]));
    }
}

/// A family with addresses and without a statement is a mistake in its own field.
#[test]
fn in_strict_mode_each_family_that_has_addresses_is_stated() {
    let field = |spec: Value, v4, v6| {
        let configuration = Configuration {
            spec: spec.as_object().unwrap().clone(),
            annotations: [("wiremesh/strict".to_owned(), "true".to_owned())].into(),
            ..Configuration::default()
        };
        let mut settings = Settings::default();
        settings.read(&configuration);
        let found = settings.unstated([&configuration], PerFamily { v4, v6 });
        let mut fields = found.into_iter().map(|wrong| wrong.field);
        fields.find(|field| !field.contains("Host"))
    };
    let (v4, v6) = ("spec.wireguardEnabled", "spec.wireguardEnabledV6");
    for (spec, is_there, expected) in [
        (json!({}), (true, true), Some(v4)),
        (json!({}), (false, true), Some(v6)),
        (json!({}), (false, false), Some(v4)),
        (json!({"wireguardEnabled": true}), (true, false), None),
        (json!({"wireguardEnabled": true}), (true, true), Some(v6)),
        (json!({"wireguardEnabledV6": true}), (true, true), Some(v4)),
        (json!({"wireguardEnabledV6": true}), (false, true), None),
        (
            json!({"wireguardEnabled": true, "wireguardEnabledV6": false}),
            (true, true),
            None,
        ),
    ] {
        let found = field(spec.clone(), is_there.0, is_there.1);
        assert_eq!(found.as_deref(), expected, "{spec} {is_there:?}");
    }
}

/// A manifest without the field must not end what encrypts the nodes' own traffic.
#[test]
fn in_strict_mode_it_is_stated_whether_hosts_are_encrypted() {
    let hosts = |spec: Value, annotations: &[(&str, &str)]| {
        let annotations = annotations.iter();
        let configuration = Configuration {
            spec: spec.as_object().unwrap().clone(),
            annotations: annotations
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            ..Configuration::default()
        };
        let mut settings = Settings::default();
        settings.read(&configuration);
        let both = PerFamily { v4: true, v6: true };
        let mut found = settings.unstated([&configuration], both).into_iter();
        found.any(|wrong| wrong.field == "spec.wireguardHostEncryptionEnabled")
    };
    let strict = ("wiremesh/strict", "true");
    let overridden = (
        "config.projectcalico.org/wireguardHostEncryptionEnabled",
        "true",
    );
    let on = json!({"wireguardEnabled": true, "wireguardEnabledV6": true});
    let one = json!({"wireguardEnabled": true, "wireguardEnabledV6": false});
    let null = json!({"wireguardEnabled": true, "wireguardHostEncryptionEnabled": null});
    for spec in [&on, &one, &null, &json!({})] {
        assert!(hosts(spec.clone(), &[strict]), "{spec}");
        assert!(!hosts(spec.clone(), &[]), "{spec}");
        assert!(!hosts(spec.clone(), &[strict, overridden]), "{spec}");
    }
    for stated in [true, false] {
        let mut spec = on.clone();
        spec["wireguardHostEncryptionEnabled"] = json!(stated);
        assert!(!hosts(spec, &[strict]));
    }
    // Who states that no family is encrypted has said it of hosts too.
    let off = json!({"wireguardEnabled": false, "wireguardEnabledV6": false});
    assert!(!hosts(off, &[strict]));
}

/// A switch that cannot be read counts as on where plaintext is to be dropped, in each family.
#[test]
fn a_switch_that_cannot_be_read_counts_as_on_in_strict_mode() {
    for family in Family::ALL {
        let strict = |annotation: &str| {
            let configuration = Configuration {
                spec: [(switch(family).to_owned(), json!("yes"))]
                    .into_iter()
                    .collect(),
                annotations: [("wiremesh/strict".to_owned(), annotation.to_owned())].into(),
                ..Configuration::default()
            };
            let mut settings = Settings::default();
            let wrong = settings.read(&configuration);
            assert_eq!(wrong.len(), 1, "{wrong:?}");
            settings.tunnel[family].enabled
        };
        assert!(strict("true"), "{family}");
        assert!(!strict("false"), "{family}");
    }
}

/// By the field or by the annotation that beats it, and in that family alone.
#[test]
fn a_family_is_off_by_its_field_or_its_annotation() {
    for family in Family::ALL {
        let of = |field: Option<bool>, annotation: Option<&str>| {
            let name = switch(family);
            let setting = format!("config.projectcalico.org/{name}");
            let configuration = Configuration {
                spec: field
                    .map(|on| (name.to_owned(), json!(on)))
                    .into_iter()
                    .collect(),
                annotations: annotation
                    .map(|text| (setting, text.to_owned()))
                    .into_iter()
                    .collect(),
                ..Configuration::default()
            };
            PerFamily::each(|family| is_off(&configuration, family))
        };
        let mut expected = PerFamily::default();
        assert_eq!(of(None, None), expected);
        assert_eq!(of(Some(false), Some("true")), expected);
        expected[family] = true;
        assert_eq!(of(Some(false), None), expected);
        assert_eq!(of(None, Some("false")), expected);
        assert_eq!(of(Some(true), Some("false")), expected);
    }
}

#[test]
fn the_metrics_address_of_the_arguments_beats_the_configuration() {
    let argument = Some("127.0.0.1:9000".parse().unwrap());
    let off = Metrics::default();
    let on = Metrics {
        enabled: true,
        ..off
    };
    let of = |argument| [on, off].map(|metrics| metrics.listen_address(argument));
    assert_eq!(of(argument), [argument; 2]);
    assert_eq!(of(None), [Some(on.address), None]);
}
