//! The families ABC and XY are of no list, so that the report does not find the samples in here.

use super::*;

const PAGE: &str = "# Page\n\n## 01 First\n\n- ABC-1 One thing\n- ABC-2 Another\n\n## 02 Second (not yet due)\n\n- XY-1 Later\n";

const DEVIATIONS: &str = "# D\n\n| ABC-9 | no |\n\n## Checklist ids deliberately left\n\n| Id | Reason |\n|---|---|\n\
                          | ABC-2 | no hardware |\n| XY-1, XY-2 | later |\n\n## Next\n\n| ABC-1 | not here |\n";

fn id(text: &str) -> Id {
    Id::parse(text).unwrap()
}

fn found(text: &str) -> Vec<(String, String)> {
    let carried = |test: Test| {
        let ids: Vec<String> = test.ids.iter().map(ToString::to_string).collect();
        (test.name, ids.join(" "))
    };
    tests_of::find("x.rs", text).into_iter().map(carried).collect()
}

fn pair(name: &str, ids: &str) -> (String, String) {
    (name.to_owned(), ids.to_owned())
}

#[test]
fn names_carry_ids_at_their_beginning() {
    let text = "#[test]\nfn abc_1_xy_20_works_2_ways() {}\n\
                #[tokio::test(flavor = \"current_thread\")]\nasync fn abc_2_too() {}\n\
                fn abc_3_is_no_test() {}\n\
                #[test]\nfn works_abc_4() {}\n\
                #[test]\nfn abc_is_no_number() {}\n";
    assert_eq!(found(text), [pair("abc_1_xy_20_works_2_ways", "ABC-1 XY-20"), pair("abc_2_too", "ABC-2")]);
}

#[test]
fn comments_directly_above_carry_ids() {
    let text = "/// ABC-1, XY-2: both.\n/// More of it, see ABC-9.\n#[test]\n#[ignore = \"needs\n  a kernel\"]\nfn goes() {}\n\
                // ABC-3\nlet x = 1;\n#[test]\nfn other() {}\n\
                #[test]\n// ABC-4 and ABC-5: here.\nfn third() {}\n\
                // #[test]\n// fn abc_6_is_commented_out() {}\n\
                /* #[test]\n#[test]\nfn abc_7_too() {}\n*/\n\
                /// Like ABC-8: not its own.\n#[test]\nfn fourth() {}\n";
    assert_eq!(found(text), [pair("goes", "ABC-1 XY-2"), pair("third", "ABC-4 ABC-5")]);
}

#[test]
fn tests_inside_macros_are_found() {
    let text = "proptest! {\n    #![proptest_config(c())]\n    /// ABC-2: too.\n    #[test]\n    fn abc_1_holds(x in 0..3) {\n    }\n}\n\
                macro_rules! case {\n    ($name:ident, $x:expr) => {\n        #[test]\n        fn $name() { check($x) }\n    };\n}\n\
                case!(abc_3_first, 1);\ncase! {\n    abc_4_second, 2\n}\n/// ABC-5: third.\ncase!(\n    abc_6_third,\n    3\n);\n\
                other!(abc_7_no_test, 1);\nfn helper() { abc_8_call(); }\n";
    let expected = [
        pair("abc_1_holds", "ABC-1 ABC-2"),
        pair("abc_3_first", "ABC-3"),
        pair("abc_4_second", "ABC-4"),
        pair("abc_6_third", "ABC-6 ABC-5"),
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn pages_are_read() {
    let lists = checklist::parse(PAGE).unwrap();
    assert_eq!((lists[0].title.as_str(), lists[0].due), ("01 First", true));
    assert_eq!((lists[1].title.as_str(), lists[1].due), ("02 Second", false));
    assert_eq!(lists[0].items, [(id("ABC-1"), "One thing".to_owned()), (id("ABC-2"), "Another".to_owned())]);
    let left = checklist::left(DEVIATIONS);
    let ids: Vec<String> = left.iter().map(|(id, reason)| format!("{id} {reason}")).collect();
    assert_eq!(ids, ["ABC-2 no hardware", "XY-1 later", "XY-2 later"]);
    assert!(checklist::parse("## A\n- ABC-1 x\n- ABC-1 y\n").is_err());
    assert!(checklist::parse("- ABC-1 x\n").is_err());
    for wrong in ["ABC1", "abc-1", "ABC-01", "ABC-", "A-1", "ABCDE-1", "ABC-1x"] {
        assert_eq!(Id::parse(wrong), None, "{wrong}");
    }
}

fn report(deviations: &str, source: &str) -> Report {
    let tests = tests_of::find("x.rs", source);
    let reasons = Reasons { left: checklist::left(deviations), in_part: checklist::in_part(deviations) };
    Report::new(checklist::parse(PAGE).unwrap(), &reasons, &tests)
}

/// OVW-11: what `cargo xtask check` holds every id to.
#[test]
fn an_id_without_test_and_reason_is_a_fault() {
    let one = "#[test]\nfn abc_1_goes() {}\n";
    let both = format!("{one}#[test]\nfn abc_2_goes() {{}}\n");
    let left = "## Checklist ids deliberately left\n| ABC-2 | no hardware |\n";
    assert!(report("", &both).faults.is_empty(), "what is not yet due is no fault");
    assert!(report(left, one).faults.is_empty());
    assert_eq!(report("", one).faults, ["ABC-2 has no test and no reason for that"]);
    assert_eq!(report(left, &both).faults, ["ABC-2 has a test and is named as left"]);
    let strange = format!("{both}#[test]\nfn abc_3_goes() {{}}\n#[test]\nfn sip_200_goes() {{}}\n");
    assert_eq!(report("", &strange).faults, ["x.rs:6 carries ABC-3, in no list"]);
    let stray = "## Checklist ids deliberately left\n| XY-7 | later |\n";
    assert_eq!(report(stray, &both).faults, ["XY-7 has a reason and is in no list"]);
}

#[test]
fn other_ids_in_the_digests_are_faults() {
    let mut report = report("", "#[test]\nfn abc_1_abc_2_go() {}\n");
    report.compare(&[id("ABC-1"), id("ABC-2"), id("XY-1")].into());
    assert!(report.faults.is_empty());
    report.compare(&[id("ABC-1"), id("ABC-2"), id("ABC-3")].into());
    let expected = ["ABC-3 is missing in docs/checklists.md", "XY-1 is in none of the digests"];
    assert_eq!(report.faults, expected);
}

#[test]
fn the_text_names_tests_reasons_and_gaps() {
    let left = "## Checklist ids deliberately left\n| ABC-2 | no hardware |\n";
    let text = report(left, "#[test]\nfn abc_1_goes() {}\n").text();
    let expected = "01 First: 1 of 2 with a test, 1 left\n  ABC-1 One thing\n    abc_1_goes (x.rs:2)\n\
                    \x20 ABC-2 Another: left\n    no hardware\n02 Second (not yet due): 0 of 1 with a test, 0 left\n\
                    verdict: pass\n";
    assert_eq!(text, expected);
    let text = report("", "").text();
    assert!(text.contains("ABC-1 One thing: NO TEST") && text.ends_with("verdict: fail\n"), "{text}");
}

#[test]
fn a_missing_part_is_told_beside_the_tests() {
    let part = "## Checklist ids shown in part\n| ABC-1 | the other half comes later |\n";
    let both = "#[test]\nfn abc_1_abc_2_go() {}\n";
    let report = report(part, both);
    assert!(report.faults.is_empty());
    let text = report.text();
    assert!(text.contains("    in part: the other half comes later\n    abc_1_abc_2_go"), "{text}");
    assert!(text.contains("2 of 2 with a test (1 in part), 0 left"), "{text}");
}

#[test]
fn json_has_ids_as_text() {
    let json = serde_json::to_value(report("", "#[test]\nfn abc_1_goes() {}\n")).unwrap();
    assert_eq!(json["checklists"][0]["items"][0]["id"], "ABC-1");
    assert_eq!(json["checklists"][0]["items"][0]["tests"][0]["line"], 2);
    assert_eq!(json["faults"][0], "ABC-2 has no test and no reason for that");
}
