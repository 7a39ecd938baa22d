//! The strict reverse-path matrix on this kernel, as a table.

use std::fmt::Write;

use serde_json::{Value, json};
use wireproof_lab::rpf::{kernel, observe};
use wireproof_model::plan::{Patience, RpFilter};
use wireproof_model::rpf::{Check, MATRIX, Observation, Row, answer, differences};

use crate::failure::{Failure, Status};

/// What stands above the table.
const HEAD: &str = "\
Node B has 10.0.0.1/32 dev wireguard.cali in table 1, and the rule
`99: not from all fwmark 0x200000/0x200000 lookup 1`. A is 10.0.0.1 and sends to B's eth0
(in IPv6 fd00::a00:1): UDP to port 51820, and a request for B's Ethernet address. `counted` is
how far TcpExt.IPReversePathFilter moved; `marked` and `ARP marked` are rules of nftables.
";

const COLUMNS: [&str; 8] = [
    "",
    "source check on eth0",
    "marked",
    "ARP marked",
    "UDP/51820",
    "counted",
    "drop reason",
    "ARP or ND",
];

/// Every row, as expected and as observed.
#[derive(Debug)]
pub struct Matrix {
    kernel: String,
    rows: Vec<(Row, Observation)>,
}

impl Matrix {
    /// Observes every row on this kernel. Call it inside the sandbox.
    ///
    /// # Errors
    /// The machine cannot build what a row needs.
    pub fn of_this_kernel(patience: Patience) -> Result<Self, Failure> {
        let observed = observe(MATRIX, patience)?;
        Ok(Self {
            kernel: kernel(),
            rows: MATRIX.iter().copied().zip(observed).collect(),
        })
    }

    /// The rows, each with what was observed of it.
    pub fn rows(&self) -> &[(Row, Observation)] {
        &self.rows
    }

    /// Held if every row is as expected.
    pub fn status(&self) -> Status {
        let same = |(row, observed): &(Row, Observation)| differences(row, observed).is_empty();
        if self.rows.iter().all(same) {
            Status::Held
        } else {
            Status::Broken
        }
    }

    /// As text, for people. Below it stands what differs, or that nothing does.
    pub fn table(&self) -> String {
        let mut lines = vec![COLUMNS.map(str::to_owned)];
        lines.extend(self.rows.iter().map(|(row, observed)| line(row, observed)));
        let mut text = format!("Strict reverse path on Linux {}\n\n{HEAD}\n", self.kernel);
        let width = |column: usize| {
            let widths = lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..COLUMNS.len()).map(width).collect();
        for line in &lines {
            let cells = line.iter().zip(&widths);
            let cells: Vec<_> = cells
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        }
        let unnamed = self
            .rows
            .iter()
            .find_map(|(_, seen)| seen.reasons.as_ref().err());
        if let Some(why) = unnamed {
            let _ = writeln!(text, "\nThe kernel's drop reasons are not available: {why}");
        }
        text.push('\n');
        for (number, (row, observed)) in self.rows.iter().enumerate() {
            for difference in differences(row, observed) {
                let _ = writeln!(
                    text,
                    "row {} differs: {difference}\n  expected from {}",
                    number + 1,
                    row.because
                );
            }
        }
        if self.status() == Status::Held {
            let _ = writeln!(text, "All {} rows are as expected.", self.rows.len());
        }
        text
    }

    /// As JSON, for programs.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(row, observed)| {
            json!({
                "row": row,
                "observed": observed,
                "differences": differences(row, observed),
            })
        });
        json!({
            "status": self.status() as u8,
            "kernel": self.kernel,
            "rows": rows.collect::<Vec<_>>(),
        })
    }
}

fn line(row: &Row, observed: &Observation) -> [String; 8] {
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let checked = match row.check {
        Check::Nothing => "none".to_owned(),
        Check::Sysctl {
            rp_filter,
            src_valid_mark,
        } => format!(
            "rp_filter {}, src_valid_mark {}",
            match rp_filter {
                RpFilter::Off => 0,
                RpFilter::Strict => 1,
                RpFilter::Loose => 2,
            },
            u8::from(src_valid_mark)
        ),
        Check::Fib { by_mark: true } => "nft fib saddr . mark . iif".to_owned(),
        Check::Fib { by_mark: false } => "nft fib saddr . iif".to_owned(),
    };
    let fate = match (observed.received, observed.arrived) {
        (0, 1..) => "dropped".to_owned(),
        (received, arrived) if received == arrived && received > 0 => "accepted".to_owned(),
        (received, arrived) => format!("{received} of {arrived} accepted"),
    };
    let reasons = match &observed.reasons {
        Ok(names) => names.join(", "),
        Err(_) => "not available".to_owned(),
    };
    [
        row.family.as_str().to_owned(),
        checked,
        yes(row.incoming_mark),
        yes(row.arp_mark),
        fate,
        format!("+{}", observed.counted),
        reasons,
        answer(observed.answered),
    ]
}
