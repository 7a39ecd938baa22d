//! The strict reverse-path matrix is on this kernel as the model has it, row by row.

use libtest_mimic::Failed;
use wireproof::failure::Status;
use wireproof::rpf::Matrix;
use wireproof_model::plan::Patience;
use wireproof_model::rpf::{BY_SOURCE, Fate, Row, differences};

pub(crate) fn is_as_expected() -> Result<(), Failed> {
    let matrix = Matrix::of_this_kernel(Patience::default()).map_err(Failed::from)?;
    if matrix.status() != Status::Held {
        return Err(matrix.table().into());
    }
    // A table that nothing can contradict shows nothing: the opposite of each row must differ.
    for (row, observed) in matrix.rows() {
        let other_fate = Row {
            packet: match row.packet {
                Fate::Accepted => Fate::Dropped(BY_SOURCE),
                Fate::Dropped(_) => Fate::Accepted,
            },
            ..*row
        };
        let other_answer = Row {
            answered: !row.answered,
            ..*row
        };
        for wrong in [other_fate, other_answer] {
            if differences(&wrong, observed).is_empty() {
                return Err(format!("nothing contradicts {wrong:?}: {observed:?}").into());
            }
        }
    }
    Ok(())
}
