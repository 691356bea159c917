use serde_json::json;

use super::*;

fn row(value: serde_json::Value) -> Row {
    value.as_object().expect("an object").clone()
}

#[test]
fn files_stand_below_their_day_and_run() {
    assert_eq!(
        place(Format::Parquet, "R12", 1_764_028_800_000),
        "day=2025-11-25/run=R12/markers.parquet"
    );
    assert_eq!(
        place(Format::Csv, "../x y", -1),
        "day=1969-12-31/run=.._x_y/markers.csv"
    );
    assert_eq!(day(951_782_400_000), "2000-02-29");
}

#[test]
fn lines_have_every_column_and_texts_survive() {
    let rows = [row(
        json!({"kind": "a, \"b\"\n", "line": 7, "number": 0.5, "green": true, "text": ""}),
    )];
    let csv = String::from_utf8(encode(Format::Csv, &rows).expect("csv")).expect("text");
    assert!(csv.starts_with("scope,cell,head_sha,"));
    assert!(csv.contains("\"a, \"\"b\"\"\n\",7,") && csv.contains(",0.5,\"\","));
    let jsonl = String::from_utf8(encode(Format::Jsonl, &rows).expect("jsonl")).expect("text");
    let back: Row = serde_json::from_str(jsonl.trim_end()).expect("one object");
    assert_eq!(back.len(), SCHEMA.len());
    assert_eq!(
        (&back["kind"], &back["line"], &back["cell"]),
        (&json!("a, \"b\"\n"), &json!(7), &json!(null))
    );
}

#[test]
fn rows_that_do_not_fit_the_schema_are_refused() {
    let unknown = encode(Format::Jsonl, &[row(json!({"colour": "red"}))]);
    assert!(matches!(unknown, Err(Error::UnknownColumn { row: 0, column }) if column == "colour"));
    let wrong = encode(Format::Parquet, &[row(json!({"line": "seven"}))]);
    assert!(matches!(
        wrong,
        Err(Error::WrongType { column: "line", .. })
    ));
}

#[test]
fn a_parquet_file_ends_with_its_metadata() {
    let rows: Vec<Row> = (0..1000)
        .map(|n| row(json!({"kind": "k", "line": n, "green": n % 3 == 0, "number": if n % 2 == 0 { json!(n) } else { json!(null) }})))
        .collect();
    let bytes = encode(Format::Parquet, &rows).expect("parquet");
    assert_eq!(
        (&bytes[..4], &bytes[bytes.len() - 4..]),
        (&b"PAR1"[..], &b"PAR1"[..])
    );
    let at = bytes.len() - 8;
    let length = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let footer = &bytes[at - length..at];
    // Field 1, i32: version 1. Every name stands in the footer, and the last byte stops the struct.
    assert_eq!((&footer[..2], footer.last()), (&[0x15, 0x02][..], Some(&0)));
    for column in SCHEMA {
        let name = column.name.as_bytes();
        assert!(
            footer.windows(name.len()).any(|part| part == name),
            "{}",
            column.name
        );
    }
    assert!(encode(Format::Parquet, &[]).is_ok());
}
