//! The matrix is the one that was measured, and every single deviation is a difference.

use super::*;

/// What is seen of a row on a kernel that is as expected.
fn expected(row: &Row) -> Observation {
    Observation {
        arrived: PACKETS,
        received: match row.packet {
            Fate::Accepted => PACKETS,
            Fate::Dropped(_) => 0,
        },
        counted: row.counted(),
        reasons: Ok(match row.packet {
            Fate::Accepted => vec![],
            Fate::Dropped(reason) => vec![reason.to_owned()],
        }),
        asked: true,
        answered: row.answered,
        counted_asking: 0,
    }
}

#[test]
fn the_first_rows_are_those_that_were_measured_by_hand() {
    // rp_filter, src_valid_mark, mark; UDP accepted, ARP answered.
    let measured = [
        (0, 0, 0, true, true),
        (0, 0, 1, true, true),
        (0, 1, 0, true, true),
        (0, 1, 1, true, true),
        (1, 0, 0, false, false),
        (1, 0, 1, false, false),
        (1, 1, 0, false, false),
        (1, 1, 1, true, false),
        (2, 0, 0, true, true),
        (2, 0, 1, true, true),
        (2, 1, 0, true, true),
        (2, 1, 1, true, true),
    ];
    let rows = MATRIX.iter().filter_map(|row| {
        let Check::Sysctl {
            rp_filter,
            src_valid_mark,
        } = row.check
        else {
            return None;
        };
        let rp_filter = match rp_filter {
            RpFilter::Off => 0,
            RpFilter::Strict => 1,
            RpFilter::Loose => 2,
        };
        let accepted = row.packet == Fate::Accepted;
        let (by_mark, marked) = (u8::from(src_valid_mark), u8::from(row.incoming_mark));
        (!row.arp_mark).then_some((rp_filter, by_mark, marked, accepted, row.answered))
    });
    assert_eq!(rows.collect::<Vec<_>>(), measured);
}

#[test]
fn an_expected_row_has_no_differences() {
    for row in MATRIX {
        assert_eq!(
            differences(row, &expected(row)),
            Vec::<String>::new(),
            "{row:?}"
        );
    }
}

#[test]
fn drop_reasons_that_are_not_available_are_no_difference() {
    for row in MATRIX {
        let observed = Observation {
            reasons: Err("not root".into()),
            ..expected(row)
        };
        assert_eq!(differences(row, &observed), Vec::<String>::new(), "{row:?}");
    }
}

#[test]
fn every_single_deviation_differs() {
    let deviations: [fn(&mut Observation); 7] = [
        |seen| seen.arrived -= 1,
        |seen| seen.received = PACKETS - seen.received,
        |seen| seen.counted += 1,
        |seen| seen.reasons = Ok(vec!["UDP_CSUM".into()]),
        |seen| seen.asked = false,
        |seen| seen.answered = !seen.answered,
        |seen| seen.counted_asking += 1,
    ];
    for row in MATRIX {
        for deviate in deviations {
            let mut observed = expected(row);
            deviate(&mut observed);
            assert_eq!(differences(row, &observed).len(), 1, "{row:?} {observed:?}");
        }
    }
}
