//! Lists and line files, good and bad.

use super::*;

const BODY: &str = r#"{"Parameters":{"SerialNumber":{"Type":"String"},"Model":{"Type":"String"},
    "Site":{"Type":"String","Default":"yard"}},"Resources":{"thing":{"Type":"AWS::IoT::Thing","Properties":{
    "ThingName":{"Ref":"SerialNumber"},"AttributePayload":{"model":{"Ref":"Model"}}}}}}"#;

fn form() -> Form {
    Form::of_template(BODY).unwrap()
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_list_becomes_lines_that_pass_the_check_again() {
    let list = "\u{feff}serial;model;Site\r\nFK-1;m1;\r\nFK-2; m2 ;dock\r\n";
    let entries = from_makers_list(list, Some(&form())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("things.jsonl");
    write(&file, &entries, false).unwrap();
    let text = read(&file).unwrap();
    assert_eq!(
        text,
        "{\"Model\":\"m1\",\"SerialNumber\":\"FK-1\"}\n\
         {\"Model\":\"m2\",\"SerialNumber\":\"FK-2\",\"Site\":\"dock\"}\n"
    );
    let again = look_through(&text, &form()).unwrap();
    let serials: Vec<_> = again
        .iter()
        .map(|entry| (entry.line, entry.serial.as_deref().unwrap()))
        .collect();
    assert_eq!(serials, [(1, "FK-1"), (2, "FK-2")]);
}

#[test]
fn without_a_template_each_column_is_a_parameter_of_its_name() {
    let entries = from_makers_list("Serial,Colour\nFK-1,red\n", None).unwrap();
    let names: Vec<&String> = entries[0].given.keys().collect();
    assert_eq!(names, ["Colour", "SerialNumber"]);
}

#[test]
fn a_file_that_is_there_stays_unless_it_is_to_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("things.jsonl");
    std::fs::write(&file, "mine").unwrap();
    let entries = from_makers_list("serial\nFK-1\n", None).unwrap();
    assert!(matches!(write(&file, &entries, false), Err(FileError::Exists(_))));
    assert_eq!(read(&file).unwrap(), "mine");
    write(&file, &entries, true).unwrap();
    assert_eq!(read(&file).unwrap(), "{\"SerialNumber\":\"FK-1\"}\n");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn lines_are_those_that_an_editor_counts_whatever_ends_them() {
    for list in [
        "serial,model\r\n\r\nFK-1,m\r\nFK-2\r\n",
        "serial,model\n\nFK-1,m\nFK-2\n",
        "serial,model\r\n\r\n\"FK-1\",\"m\"\r\nFK-2\r\n",
    ] {
        let told = told(&from_makers_list(list, Some(&form())).unwrap_err());
        assert!(
            told[0].starts_with("line 4: this row has 1 fields"),
            "{list:?}: {told:?}"
        );
    }
    let told = told(&from_makers_list("serial,model\n\"FK-1\",\"a\nb\"\nFK-2\n", Some(&form())).unwrap_err());
    assert!(
        told.iter().any(|line| line.starts_with("line 4: this row")),
        "{told:?}"
    );
}

#[test]
fn what_only_the_person_before_a_device_needs_does_not_go_to_s3() {
    for column in ["PoP", "label", "Wi-Fi Passphrase", "QR code", "password"] {
        let list = format!("serial,{column}\nFK-1,abcd1234\n");
        let told = told(&from_makers_list(&list, None).unwrap_err());
        assert!(told[0].contains("this would go to S3"), "{told:?}");
    }
}

#[test]
fn a_parameter_that_stands_twice_in_a_line_is_found() {
    let text = "{\"SerialNumber\":\"FK-1\",\"Model\":\"m\",\"SerialNumber\":\"FK-2\"}\n";
    assert_eq!(
        told(&look_through(text, &form()).unwrap_err()),
        ["line 1, SerialNumber: this stands twice; take one out"]
    );
}

#[test]
fn each_fault_of_a_list_names_line_and_column() {
    let table = [
        ("", "line 1: there is no column for SerialNumber"),
        ("serial,model\n", "line 1: there is no device here"),
        (
            "serial,model,colour\nFK-1,m,red\n",
            "line 1, colour: the template has no such parameter",
        ),
        (
            "serial,SerialNumber,model\nFK-1,FK-1,m\n",
            "line 1, SerialNumber: two columns are for SerialNumber",
        ),
        ("serial,model\nFK-1\n", "line 2: this row has 1 fields"),
        ("serial,model\nFK-1,\n", "line 2, Model: this is missing"),
        (
            "serial,model\nFK-1,m\nFK-1,m\n",
            "line 3, SerialNumber: FK-1 stands in line 2",
        ),
        ("serial,model\nFK 1,m\n", "line 2, SerialNumber: a serial number"),
        ("serial,model\nFK-1,a b\n", "line 2: the attribute model"),
    ];
    for (list, says) in table {
        let told = told(&from_makers_list(list, Some(&form())).unwrap_err());
        assert!(
            told.iter().any(|line| line.starts_with(says)),
            "{list:?}: {told:?} does not say {says:?}"
        );
    }
}

#[test]
fn every_problem_of_a_line_file_is_told_in_the_order_of_lines() {
    let text = "{\"SerialNumber\":\"FK-1\",\"Model\":\"m\"}\n\n[1]\n{\"SerialNumber\":7}\n{\n\
        {\"SerialNumber\":\"FK-1\",\"Model\":\"m\"}\n{\"SerialNumber\":\"FK-2\",\"Colour\":\"red\"}\n";
    let told = told(&look_through(text, &form()).unwrap_err());
    let starts = [
        "line 2: this line is empty",
        "line 3: this is no JSON object",
        "line 4, SerialNumber: this must be a text",
        "line 5: this is no JSON",
        "line 6, SerialNumber: FK-1 stands in line 1",
        "line 7, Model: this is missing",
        "line 7, Colour: the template has no such parameter",
    ];
    assert_eq!(told.len(), starts.len(), "{told:?}");
    for (line, start) in told.iter().zip(starts) {
        assert!(line.starts_with(start), "{line:?} is not {start:?}");
    }
}

#[test]
fn two_serials_that_make_one_thing_are_found() {
    let body = BODY.replace(
        "\"ThingName\":{\"Ref\":\"SerialNumber\"}",
        "\"ThingName\":{\"Ref\":\"Model\"}",
    );
    let form = Form::of_template(&body).unwrap();
    let told = told(&from_makers_list("serial,model\nFK-1,m\nFK-2,m\n", Some(&form)).unwrap_err());
    assert_eq!(
        told,
        ["line 3: the thing m is that of line 2 already; remove one"]
    );
}
