//! The little of an ELF file that packing needs: its machine, its interpreter and its SONAME.
//!
//! A total parser: any bytes give an answer or `None`, never a panic. Fields as in the System V ABI, chapters 4 and 5.

const PT_LOAD: u64 = 1;
const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;

/// More program headers or dynamic entries than this are read no further; real files have about 15 and 40.
const TABLE_LIMIT: u64 = 1024;

/// An ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Elf {
    /// The architecture as Go and the engines name it; `None` for one that is not listed.
    pub(super) arch: Option<&'static str>,
    /// The program that loads it (`PT_INTERP`); `None` in a static executable and in a library.
    pub(super) interpreter: Option<String>,
    /// The name by which other files ask for it (`DT_SONAME`).
    pub(super) soname: Option<String>,
}

/// Reads numbers of a file's width and byte order.
struct Reader<'a> {
    bytes: &'a [u8],
    wide: bool,
    big: bool,
}

impl Reader<'_> {
    fn number(&self, at: u64, width: u64) -> Option<u64> {
        let start = usize::try_from(at).ok()?;
        let bytes = self.bytes.get(start..start.checked_add(usize::try_from(width).ok()?)?)?;
        let join = |number: u64, byte: &u8| (number << 8) | u64::from(*byte);
        Some(if self.big { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) })
    }

    /// A field whose place and width depend on the class: `(offset in 32 bit, offset in 64 bit)` from `base`.
    fn field(&self, base: u64, offsets: (u64, u64)) -> Option<u64> {
        let (offset, width) = if self.wide { (offsets.1, 8) } else { (offsets.0, 4) };
        self.number(base.checked_add(offset)?, width)
    }

    fn text(&self, at: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        String::from_utf8(rest.get(..end)?.to_vec()).ok()
    }
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

/// Reads an ELF file; `None` when it is none.
pub(super) fn parse(bytes: &[u8]) -> Option<Elf> {
    if bytes.get(..4)? != b"\x7fELF" {
        return None;
    }
    let reader = Reader { bytes, wide: *bytes.get(4)? == 2, big: *bytes.get(5)? == 2 };
    let arch = match (reader.number(18, 2)?, reader.wide, reader.big) {
        (62, true, false) => Some("amd64"),
        (183, true, false) => Some("arm64"),
        (243, true, false) => Some("riscv64"),
        (21, true, false) => Some("ppc64le"),
        (22, true, true) => Some("s390x"),
        (40, false, false) => Some("arm"),
        (3, false, false) => Some("386"),
        _ => None,
    };
    let segments = segments(&reader)?;
    let find = |kind: u64| segments.iter().find(|segment| segment.kind == kind);
    let interpreter = find(PT_INTERP).and_then(|segment| reader.text(segment.offset));
    let soname = find(PT_DYNAMIC).and_then(|dynamic| soname(&reader, &segments, dynamic));
    Some(Elf { arch, interpreter, soname })
}

fn segments(reader: &Reader<'_>) -> Option<Vec<Segment>> {
    let table = reader.field(0, (28, 32))?;
    let (entry_size, count) = if reader.wide { (54, 56) } else { (42, 44) };
    let (size, count) = (reader.number(entry_size, 2)?, reader.number(count, 2)?);
    (0..count.min(TABLE_LIMIT))
        .map(|index| {
            let base = table.checked_add(index.checked_mul(size)?)?;
            Some(Segment {
                kind: reader.number(base, 4)?,
                offset: reader.field(base, (4, 8))?,
                address: reader.field(base, (8, 16))?,
                size: reader.field(base, (16, 32))?,
            })
        })
        .collect()
}

fn soname(reader: &Reader<'_>, segments: &[Segment], dynamic: &Segment) -> Option<String> {
    let step = if reader.wide { 16 } else { 8 };
    let entries = (0..(dynamic.size / step).min(TABLE_LIMIT)).map_while(|index| {
        let base = dynamic.offset.checked_add(index * step)?;
        Some((reader.field(base, (0, 0))?, reader.field(base, (4, 8))?))
    });
    let entries: Vec<(u64, u64)> = entries.take_while(|(tag, _)| *tag != 0).collect();
    let value = |wanted: u64| entries.iter().find(|(tag, _)| *tag == wanted).map(|(_, value)| *value);
    let (strings, name) = (value(DT_STRTAB)?, value(DT_SONAME)?);
    let holds = |segment: &&Segment| {
        segment.kind == PT_LOAD && strings.checked_sub(segment.address).is_some_and(|inside| inside < segment.size)
    };
    let segment = segments.iter().find(holds)?;
    reader.text((strings - segment.address).checked_add(segment.offset)?.checked_add(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_a_readable_elf_file() {
        let bytes = std::fs::read("/proc/self/exe").expect("own executable");
        let elf = parse(&bytes).expect("an ELF file");
        assert!(elf.arch.is_some());
        assert_eq!(elf.interpreter.is_none(), cfg!(target_feature = "crt-static"));
        assert_eq!(elf.soname, None);
    }

    /// A 64-bit library in one piece: header, a segment of everything, a dynamic table at 176, strings at 224.
    fn library() -> Vec<u8> {
        let mut bytes = vec![0; 240];
        let mut put = |at: usize, value: u64, width: usize| {
            bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        };
        for (at, value, width) in [(18, 62, 2), (32, 64, 8), (54, 56, 2), (56, 2, 2)] {
            put(at, value, width);
        }
        let (whole, dynamic) = (64, 120);
        for (base, kind, offset, address, size) in
            [(whole, PT_LOAD, 0, 0x1000, 240), (dynamic, PT_DYNAMIC, 176, 0x1000 + 176, 48)]
        {
            put(base, kind, 4);
            put(base + 8, offset, 8);
            put(base + 16, address, 8);
            put(base + 32, size, 8);
        }
        for (at, value) in [(176, DT_STRTAB), (184, 0x1000 + 224), (192, DT_SONAME), (200, 1)] {
            put(at, value, 8);
        }
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[225..234].copy_from_slice(b"libx.so.1");
        bytes
    }

    #[test]
    fn a_library_names_itself() {
        let elf = parse(&library()).expect("an ELF file");
        assert_eq!((elf.arch, elf.interpreter, elf.soname.as_deref()), (Some("amd64"), None, Some("libx.so.1")));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(mut bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let _ = parse(&bytes);
            for (index, byte) in b"\x7fELF".iter().enumerate() {
                if let Some(slot) = bytes.get_mut(index) {
                    *slot = *byte;
                }
            }
            let _ = parse(&bytes);
        }

        #[test]
        fn a_damaged_file_is_parsed_without_panic(at in 0usize..1024, byte: u8, cut in 0usize..4096) {
            use std::io::Read as _;
            let mut bytes = Vec::new();
            let file = std::fs::File::open("/proc/self/exe").expect("own executable");
            file.take(65536).read_to_end(&mut bytes).expect("read");
            bytes[at] = byte;
            let _ = parse(&bytes);
            let _ = parse(&bytes[..cut]);
        }

        #[test]
        fn a_damaged_library_is_parsed_without_panic(at in 6usize..240, byte: u8) {
            let mut bytes = library();
            bytes[at] = byte;
            let _ = parse(&bytes);
        }
    }
}
