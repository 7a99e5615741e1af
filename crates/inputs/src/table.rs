//! Tables of comma-separated values.

use csv_core::{ReadRecordResult, Reader};

use crate::{MAX_VALUES, Slot};

/// Rows of `width` numbers. A first row that holds something else than numbers names the columns.
pub(crate) fn rows(bytes: &[u8], width: usize) -> Result<Vec<Vec<f64>>, String> {
    let text = zkslice_graph::text(bytes)?;
    let mut names: Option<Vec<String>> = None;
    let mut rows = Vec::new();
    let mut row = 0;
    records(&text, |fields| {
        row += 1;
        if fields.len() != width {
            let hint = if fields.len() == 1 && text.contains(';') { "; separate them by commas" } else { "" };
            return Err(format!("row {row} has {} columns where {width} are needed{hint}", fields.len()));
        }
        if row == 1 && fields.iter().any(|field| field.parse::<f64>().is_err()) {
            names = Some(fields.iter().map(|name| (*name).to_owned()).collect());
            return Ok(());
        }
        // pandas writes such a row where columns have no names; as a sample it would be wrong in silence.
        let counted = |(column, field): (usize, &&str)| field.parse::<usize>() == Ok(column);
        if row == 1 && width > 2 && fields.iter().enumerate().all(counted) {
            let last = width - 1;
            return Err(format!(
                "row 1 counts its columns, 0 to {last}: take it out (pandas: header=False), or put names above it if it is data"
            ));
        }
        let number = |(column, field): (usize, &&str)| {
            field.parse::<f64>().map_err(|_| {
                let name = names.as_ref().map_or(String::new(), |names| format!(" (`{}`)", names[column]));
                format!("row {row}, column {}{name}: `{field}` is no number", column + 1)
            })
        };
        rows.push(fields.iter().enumerate().map(number).collect::<Result<Vec<_>, _>>()?);
        if rows.len().saturating_mul(width) > MAX_VALUES {
            return Err(format!("it holds more than {MAX_VALUES} values; give fewer samples"));
        }
        Ok(())
    })?;
    Ok(rows)
}

/// Gives each record's fields, without the white space around them.
fn records(text: &str, mut each: impl FnMut(&[&str]) -> Result<(), String>) -> Result<(), String> {
    let mut reader = Reader::new();
    let mut input = text.as_bytes();
    // A record is no longer than the text, and has no more fields than characters.
    let (mut output, mut ends) = (vec![0; input.len()], vec![0; 64]);
    let (mut written, mut fields) = (0, 0);
    loop {
        let (state, read, wrote, ended) = reader.read_record(input, &mut output[written..], &mut ends[fields..]);
        input = &input[read..];
        (written, fields) = (written + wrote, fields + ended);
        match state {
            // The next call tells the reader that this was all.
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::OutputFull => output.resize(2 * output.len() + 64, 0),
            ReadRecordResult::OutputEndsFull => ends.resize(2 * ends.len(), 0),
            ReadRecordResult::End => return Ok(()),
            ReadRecordResult::Record => {
                let line = std::str::from_utf8(&output[..written]).map_err(|e| e.to_string())?;
                let starts = std::iter::once(0).chain(ends[..fields].iter().copied());
                let cut: Vec<&str> =
                    starts.zip(&ends[..fields]).map(|(start, end)| line.get(start..*end).unwrap_or_default().trim()).collect();
                each(&cut)?;
                (written, fields) = (0, 0);
            }
        }
    }
}

/// One sample per row, its columns the values of the inputs, one input after the other.
pub(crate) fn inputs(bytes: &[u8], slots: &[Slot]) -> Result<Vec<Vec<Vec<f64>>>, String> {
    let cut = |row: Vec<f64>| {
        let mut rest = &row[..];
        slots
            .iter()
            .map(|slot| {
                let (own, others) = rest.split_at(slot.len());
                rest = others;
                own.to_vec()
            })
            .collect()
    };
    Ok(rows(bytes, slots.iter().map(Slot::len).sum())?.into_iter().map(cut).collect())
}
