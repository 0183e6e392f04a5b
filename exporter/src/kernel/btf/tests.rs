use super::*;

/// Writes BTF blobs by hand.
#[derive(Default)]
struct Blob {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

impl Blob {
    fn new() -> Blob {
        Blob { strings: vec![0], ..Blob::default() }
    }

    fn string(&mut self, text: &str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        at
    }

    fn ty(&mut self, name: &str, kind: u32, vlen: u32, flag: bool, size_or_type: u32, body: &[u32]) -> u32 {
        let name = self.string(name);
        let info = u32::from(flag) << 31 | kind << 24 | vlen;
        for word in [name, info, size_or_type].iter().chain(body) {
            self.types.extend_from_slice(&word.to_ne_bytes());
        }
        self.count += 1;
        self.count
    }

    fn int(&mut self, name: &str, size: u32) -> u32 {
        self.ty(name, 1, 0, false, size, &[size * 8])
    }

    /// A struct (or union) of (name, type, bit offset, bitfield bits).
    fn composite(
        &mut self,
        kind: u32,
        name: &str,
        size: u32,
        flag: bool,
        members: &[(&str, u32, u32, u32)],
    ) -> u32 {
        let mut body = Vec::new();
        for (name, ty, offset, bits) in members {
            body.extend([self.string(name), *ty, bits << 24 | offset]);
        }
        self.ty(name, kind, members.len() as u32, flag, size, &body)
    }

    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC.to_ne_bytes());
        out.extend_from_slice(&[1, 0]);
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        for word in [24, 0, types, types, strings] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        out.extend_from_slice(&self.types);
        out.extend_from_slice(&self.strings);
        out
    }
}

/// One blob with every kind, so that a wrong length for any of them shifts all that follow.
fn every_kind() -> Blob {
    let mut blob = Blob::new();
    let int = blob.int("int", 4); // 1
    let ptr = blob.ty("", 2, 0, false, int, &[]);
    let array = blob.ty("", 3, 0, false, 0, &[int, int, 6]);
    blob.ty("values", 6, 2, true, 4, &[0, u32::MAX, 0, 7]);
    blob.ty("declared", 7, 0, false, 0, &[]);
    let alias = blob.ty("int_t", 8, 0, false, int, &[]);
    let volatile = blob.ty("", 9, 0, false, alias, &[]);
    let constant = blob.ty("", 10, 0, false, volatile, &[]);
    blob.ty("", 11, 0, false, ptr, &[]);
    let proto = blob.ty("", 13, 1, false, 0, &[0, int]);
    blob.ty("function", 12, 0, false, proto, &[]);
    blob.ty("variable", 14, 0, false, int, &[1]);
    blob.ty(".data", 15, 1, false, 4, &[1, 0, 4]);
    blob.ty("float", 16, 0, false, 4, &[]);
    blob.ty("decl_tag", 17, 0, false, int, &[u32::MAX]);
    let tagged = blob.ty("type_tag", 18, 0, false, constant, &[]);
    let big = blob.string("BIG");
    blob.ty("big_values", 19, 1, false, 8, &[big, 5, 1]);
    let inner = blob.composite(4, "", 8, false, &[("deep", int, 32, 0)]);
    let union = blob.composite(5, "", 8, false, &[("u", int, 0, 0), ("", inner, 0, 0)]);
    let named = blob.composite(4, "ns", 16, false, &[("stashed", ptr, 0, 0), ("inum", tagged, 64, 0)]);
    blob.composite(
        4,
        "outer",
        128,
        false,
        &[
            ("a", int, 0, 0),
            ("", union, 64, 0),
            ("ns", named, 128, 0),
            ("list", array, 256, 0),
            ("p", ptr, 512, 0),
        ],
    );
    blob.composite(4, "flagged", 8, true, &[("bits", int, 3, 5), ("whole", int, 32, 0)]);
    // Two structs of one name: what the first lacks is found in the second.
    blob.composite(4, "twin", 4, false, &[("first", int, 0, 0)]);
    blob.composite(4, "twin", 8, false, &[("second", int, 32, 0)]);
    let pairs = blob.ty("", 3, 0, false, 0, &[named, int, 3]);
    blob.composite(4, "holder", 48, false, &[("pairs", pairs, 0, 0)]);
    blob.ty("btf_trace_sys_exit", 8, 0, false, ptr, &[]);
    blob
}

#[test]
fn offsets_are_found_through_anonymous_members_arrays_and_qualifiers() {
    let bytes = every_kind().bytes();
    let btf = Btf::parse(&bytes).unwrap();
    for (path, expected) in [
        ("outer.a", Some(0)),
        ("outer.u", Some(8)),
        ("outer.deep", Some(12)),
        ("outer.ns", Some(16)),
        ("outer.ns.inum", Some(24)),
        ("outer.list", Some(32)),
        ("outer.p", Some(64)),
        ("outer.p.x", None), // behind a pointer
        ("outer.missing", None),
        ("outer", None),
        ("outer.", None),
        ("outer..a", None),
        (".a", None),
        ("", None),
        ("missing.a", None),
        ("int_t.a", None),
        ("flagged.bits", None), // a bitfield has no byte offset
        ("flagged.whole", Some(4)),
        ("twin.first", Some(0)),
        ("twin.second", Some(4)),
        ("holder.pairs.inum", Some(8)),
    ] {
        assert_eq!(btf.member(path).and_then(|member| member.byte_offset()), expected, "{path}");
    }
    let bits = btf.member("flagged.bits").unwrap();
    assert_eq!((bits.bit_offset, bits.bitfield_bits), (3, 5));
}

#[test]
fn sizes_enumerators_and_typedefs() {
    let bytes = every_kind().bytes();
    let btf = Btf::parse(&bytes).unwrap();
    for (path, expected) in [
        ("outer", Some(128)),
        ("ns", Some(16)),
        ("outer.a", Some(4)),
        ("outer.p", Some(8)),
        ("outer.list", Some(24)),
        ("holder.pairs", Some(48)),
        ("outer.ns.inum", Some(4)),
        ("missing", None),
        ("outer.missing", None),
    ] {
        assert_eq!(btf.size(path), expected, "{path}");
    }
    assert_eq!(btf.enumerator("BIG"), Some(1 << 32 | 5));
    assert_eq!(btf.enumerator("SMALL"), None);
    assert!(btf.has_typedef("btf_trace_sys_exit"));
    assert!(!btf.has_typedef("btf_trace_missing"));
    assert!(!btf.has_typedef("outer"), "a struct is no typedef");
}

#[test]
fn signed_and_unsigned_enumerators() {
    let mut blob = Blob::new();
    let (minus, plus) = (blob.string("MINUS"), blob.string("PLUS"));
    blob.ty("signed", 6, 1, true, 4, &[minus, u32::MAX]);
    blob.ty("unsigned", 6, 1, false, 4, &[plus, u32::MAX]);
    let bytes = blob.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    assert_eq!(btf.enumerator("MINUS"), Some(-1));
    assert_eq!(btf.enumerator("PLUS"), Some(i64::from(u32::MAX)));
}

#[test]
fn a_blob_cut_anywhere_is_an_error() {
    let bytes = every_kind().bytes();
    for len in 0..bytes.len() {
        let error = Btf::parse(&bytes[..len]).map(|_| ()).expect_err("a cut blob is refused");
        assert!(matches!(error, BtfError::Truncated { .. }), "{len}: {error:?}");
    }
}

#[test]
fn foreign_bytes_are_refused_with_their_reason() {
    let good = every_kind().bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Btf::parse(&bytes).map(|_| ()).unwrap_err()
    };
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    assert_eq!(Btf::parse(&swapped).map(|_| ()), Err(BtfError::Magic(MAGIC.swap_bytes())));
    assert_eq!(with(2, 2), BtfError::Version(2));
    assert!(matches!(with(15, 0xff), BtfError::Truncated { what: "the type section", .. }));
    assert!(matches!(with(23, 0xff), BtfError::Truncated { what: "the string section", .. }));

    let mut blob = Blob::new();
    blob.int("int", 4);
    blob.ty("future", 20, 0, false, 0, &[]);
    assert_eq!(Btf::parse(&blob.bytes()).map(|_| ()), Err(BtfError::Kind { id: 2, kind: 20 }));

    let mut blob = Blob::new();
    blob.ty("liar", 4, 0xffff, false, 8, &[0, 0, 0]);
    assert!(matches!(Btf::parse(&blob.bytes()).map(|_| ()), Err(BtfError::Truncated { what: "a type", .. })));
}

#[test]
fn loops_and_wild_references_end() {
    let mut blob = Blob::new();
    blob.ty("self_t", 8, 0, false, 1, &[]); // 1: a typedef of itself
    blob.composite(4, "nest", 8, false, &[("", 2, 0, 0), ("", 2, 0, 0), ("x", 1, 0, 0)]); // 2: holds itself
    blob.composite(4, "wild", 8, false, &[("far", 9999, 0, 0), ("", 9999, 0, 0), ("y", 1, 0, 0)]);
    blob.composite(4, "sum", 8, false, &[("", 5, u32::MAX, 0)]);
    blob.composite(4, "", 8, false, &[("z", 1, u32::MAX, 0)]);
    blob.ty("arr_t", 3, 0, false, 0, &[6, 6, u32::MAX]); // 6: an array of itself
    blob.composite(4, "arrays", 8, false, &[("a", 6, 0, 0)]);
    let bytes = blob.bytes();
    let btf = Btf::parse(&bytes).unwrap();
    for path in ["nest.missing", "wild.far.x", "wild.missing", "sum.z", "self_t.x", "arrays.a.b"] {
        assert_eq!(btf.member(path), None, "{path}");
    }
    assert!(btf.member("wild.y").is_some());
    assert_eq!(btf.size("arrays.a"), None);
    assert_eq!(btf.size("self_t"), None);
}

proptest::proptest! {
    /// Any change of any bytes: an answer or an error, never a panic or an endless walk.
    #[test]
    fn damaged_blobs_never_panic(damage in proptest::collection::vec((0usize..2000, proptest::num::u8::ANY), 1..8)) {
        let mut bytes = every_kind().bytes();
        for (at, byte) in damage {
            let len = bytes.len();
            bytes[at % len] = byte;
        }
        if let Ok(btf) = Btf::parse(&bytes) {
            for path in ["outer.deep", "outer.ns.inum", "holder.pairs.inum", "flagged.bits", "twin.second"] {
                let _ = (btf.member(path), btf.size(path));
            }
        }
    }
}
