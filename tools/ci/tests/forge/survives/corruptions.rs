//! Answers with random damage.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever happens to an answer of the API: no panic, and a run that is called full is whole.
    #[test]
    fn random_corruptions_of_answers_never_make_a_run_full(
        which in 0usize..3,
        cut in proptest::option::of(0.0f64..1.0),
        flips in proptest::collection::vec((0.0f64..1.0, any::<u8>()), 1..5),
    ) {
        let files = ["run.json", "jobs.json", "artifacts.json"];
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("runs/7");
        std::fs::create_dir_all(root.join("jobs")).unwrap();
        std::fs::create_dir_all(root.join("artifacts")).unwrap();
        let zip = zip_of(&[("a", b"a")]);
        let digest = attest::digest::Digest::of(&zip).to_string();
        let artifacts = json!([{"id": 5, "name": "out", "digest": digest}]);
        let mut answers = [
            run(7).to_string().into_bytes(),
            json!({"total_count": 2, "jobs": [job(1, "gpu"), job(2, "lint")]}).to_string().into_bytes(),
            json!({"total_count": 1, "artifacts": artifacts}).to_string().into_bytes(),
        ];
        let place = |part: f64, length: usize| ((part * length as f64) as usize).min(length - 1);
        for (part, value) in flips {
            let at = place(part, answers[which].len());
            answers[which][at] = value;
        }
        if let Some(part) = cut {
            let at = place(part, answers[which].len());
            answers[which].truncate(at);
        }
        for (name, answer) in files.iter().zip(&answers) {
            std::fs::write(root.join(name), answer).unwrap();
        }
        std::fs::write(root.join("jobs/1.log"), LOG).unwrap();
        std::fs::write(root.join("jobs/2.log"), b"fine\n").unwrap();
        std::fs::write(root.join("artifacts/out.zip"), &zip).unwrap();
        let recorded = ci::Recorded::open(folder.path()).unwrap();
        let mut bench = Bench::default();
        if let Ok(pulled) = bench.pull(&recorded, "7")
            && pulled.is_full()
        {
            // A job that became one that never ran is not there to be whole.
            let logs = pulled.jobs.iter().filter(|job| job.log.is_some()).count();
            let never = pulled.jobs.iter().filter(|job| job.fate == Fate::Nothing).count();
            prop_assert_eq!(logs + never, 2);
            for log in bench.store.logs.borrow().values() {
                prop_assert!(log == LOG || log == b"fine\n");
            }
        }
    }
}
