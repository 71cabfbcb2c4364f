//! Images are what they are said to be.

use std::time::{Duration, Instant};

use virtwire_lab::{Error, image};

const MIB: u64 = 1 << 20;

#[test]
fn base_holds_data_that_depends_on_the_seed_alone() {
    let dir = tempfile::tempdir().unwrap();
    let [one, same, other, empty] =
        ["one", "same", "other", "empty"].map(|name| dir.path().join(name).with_extension("qcow2"));
    image::create_base(&one, 2 * MIB, 1).unwrap();
    image::create_base(&same, 2 * MIB, 1).unwrap();
    image::create_base(&other, 2 * MIB, 2).unwrap();
    image::create_empty(&empty, 2 * MIB).unwrap();
    assert!(image::compare(&one, &same).unwrap());
    assert!(!image::compare(&one, &other).unwrap());
    assert!(!image::compare(&one, &empty).unwrap());
    let info = image::info(&one).unwrap();
    assert_eq!(
        (info.format.as_str(), info.virtual_size),
        ("qcow2", 2 * MIB)
    );
    assert!(info.actual_size >= 2 * MIB);
    assert_eq!(info.backing_file, None);
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        4,
        "no raw file is left"
    );
}

#[test]
fn overlay_stands_on_its_base() {
    let dir = tempfile::tempdir().unwrap();
    let (base, top) = (dir.path().join("base.qcow2"), dir.path().join("top.qcow2"));
    image::create_base(&base, MIB, 1).unwrap();
    image::create_overlay(&top, &base).unwrap();
    assert_eq!(
        image::info(&top).unwrap().backing_file.as_ref(),
        Some(&base)
    );
    let chain: Vec<_> = image::chain(&top)
        .unwrap()
        .into_iter()
        .map(|info| info.path)
        .collect();
    assert_eq!(chain, [top.clone(), base.clone()]);
    assert!(image::compare(&top, &base).unwrap());
}

#[test]
fn missing_image_is_an_error_that_names_it() {
    let error = image::info("/nonexistent/image.qcow2".as_ref()).unwrap_err();
    assert!(matches!(error, Error::Command { .. }));
    assert!(
        error.to_string().contains("/nonexistent/image.qcow2"),
        "{error}"
    );
}

#[test]
fn a_base_for_a_block_job_takes_no_time() {
    let dir = tempfile::tempdir().unwrap();
    let start = Instant::now();
    image::create_base(&dir.path().join("base.qcow2"), 64 * MIB, 1).unwrap();
    println!("64 MiB in {:?}", start.elapsed());
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}
