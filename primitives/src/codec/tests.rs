//! Forms of single fields, and refusals.

use super::*;

#[test]
fn every_field_has_the_documented_form() {
    let mut writer = Writer::new();
    writer.u8(0xab);
    writer.flag(true);
    writer.u16(0x0102);
    writer.u32(0x0304_0506);
    writer.u64(0x0708_090a_0b0c_0d0e);
    writer.f32(-2.0);
    writer.text("né");
    writer.f32s(&[1.0]);
    writer.i64s(&[-2]);
    writer.i8s(&[-2, 127]);
    let bytes = writer.finish();
    let expected = [
        &[0xab, 1, 2, 1, 6, 5, 4, 3, 0xe, 0xd, 0xc, 0xb, 0xa, 9, 8, 7][..],
        &[0, 0, 0, 0xc0],
        &[3, 0, 0, 0, b'n', 0xc3, 0xa9],
        &[0, 0, 0x80, 0x3f],
        &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xfe, 0x7f],
    ];
    assert_eq!(bytes, expected.concat());

    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.u8(), Ok(0xab));
    assert_eq!(reader.flag(), Ok(true));
    assert_eq!(reader.u16(), Ok(0x0102));
    assert_eq!(reader.u32(), Ok(0x0304_0506));
    assert_eq!(reader.u64(), Ok(0x0708_090a_0b0c_0d0e));
    assert_eq!(reader.f32(), Ok(-2.0));
    assert_eq!(reader.text("letters", 3), Ok("né"));
    assert_eq!(reader.f32s(1), Ok(vec![1.0]));
    assert_eq!(reader.i64s(1), Ok(vec![-2]));
    assert_eq!(reader.raw(2), Ok(&[0xfe, 0x7f][..]));
    assert_eq!(reader.finish(), Ok(()));
}

#[test]
fn a_field_that_is_cut_short_is_refused_and_says_by_how_much() {
    let short = |needed, left| Err(CodecError::Truncated { needed, left });
    assert_eq!(Reader::new(&[]).u8().map(|_| ()), short(1, 0));
    assert_eq!(Reader::new(&[0; 3]).u32().map(|_| ()), short(4, 3));
    assert_eq!(Reader::new(&[0; 7]).f32s(2).map(|_| ()), short(8, 7));
    assert_eq!(Reader::new(&[0; 7]).i64s(1).map(|_| ()), short(8, 7));
    assert_eq!(Reader::new(&[5, 0, 0, 0, 1, 2]).bytes("bytes", 9).map(|_| ()), short(5, 2));
}

#[test]
fn a_failed_read_takes_nothing() {
    let mut reader = Reader::new(&[1, 2, 3]);
    assert!(reader.u64().is_err());
    assert_eq!((reader.left(), reader.u16()), (3, Ok(0x0201)));
}

#[test]
fn counts_are_bounded_by_the_limit_and_by_the_bytes_left() {
    let absurd = u32::MAX.to_le_bytes();
    let too_many = CodecError::TooMany { what: "things", limit: 10, got: u32::MAX as usize };
    assert_eq!(Reader::new(&absurd).count("things", 10, 1), Err(too_many));
    let truncated = CodecError::Truncated { needed: (u32::MAX as usize).saturating_mul(40), left: 0 };
    assert_eq!(Reader::new(&absurd).count("things", usize::MAX, 40), Err(truncated));
    assert_eq!(Reader::new(&[2, 0, 0, 0, 9, 9, 9, 9]).count("things", 2, 2), Ok(2));
    assert!(Reader::new(&[2, 0, 0, 0, 9, 9, 9]).count("things", 2, 2).is_err());
    assert!(Reader::new(&[]).f32s(usize::MAX).is_err());
}

#[test]
fn a_value_has_one_form() {
    assert_eq!(Reader::new(&[0]).finish(), Err(CodecError::Trailing { left: 1 }));
    assert_eq!(Reader::new(&[2]).flag(), Err(CodecError::Flag { got: 2 }));
    assert_eq!(Reader::new(&[1, 0, 0, 0, 0xff]).text("a name", 4), Err(CodecError::NotUtf8 { what: "a name" }));
}
