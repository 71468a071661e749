//! The scripted demo that the stage can play by itself, with a line for each step in French and English.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::cluster::{Cluster, structures};
use tests::sites::watch;

/// The pause between two steps, so that people can follow.
const STEP_PAUSE: Duration = Duration::from_millis(1600);

/// A line of the transcript, in both languages.
struct Line {
    /// When it was added (RFC 3339).
    at: String,
    fr: String,
    en: String,
}

#[derive(Default)]
struct Transcript {
    running: bool,
    lines: Vec<Line>,
}

/// The scenario and its transcript so far.
pub struct Scenario {
    cluster: Arc<Cluster>,
    transcript: Mutex<Transcript>,
}

impl Scenario {
    /// A scenario that has not been started.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster, transcript: Mutex::default() }
    }

    /// The transcript in one language, as JSON for the page: `running`, the current `step` (null: none), `log`.
    pub fn transcript(&self, french: bool) -> Value {
        let transcript = self.lock();
        let text = |line: &Line| if french { line.fr.clone() } else { line.en.clone() };
        let step = transcript.lines.last().filter(|_| transcript.running).map(text);
        let log: Vec<Value> =
            transcript.lines.iter().map(|line| json!({ "at": line.at, "text": text(line) })).collect();
        json!({ "running": transcript.running, "step": step, "log": log })
    }

    fn add_line(&self, fr: impl Into<String>, en: impl Into<String>) {
        let at = node::clock::rfc3339(node::clock::now());
        self.lock().lines.push(Line { at, fr: fr.into(), en: en.into() });
        std::thread::sleep(STEP_PAUSE);
    }

    fn lock(&self) -> MutexGuard<'_, Transcript> {
        self.transcript.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the scenario in a thread of its own; `false` if it is running already.
pub fn play(scenario: &Arc<Scenario>) -> bool {
    let mut transcript = scenario.lock();
    if transcript.running {
        return false;
    }
    *transcript = Transcript { running: true, lines: Vec::new() };
    drop(transcript);
    let scenario = scenario.clone();
    std::thread::spawn(move || {
        if let Err(error) = run(&scenario) {
            scenario.add_line(
                format!("Le scénario s'arrête ici : {error:#}"),
                format!("The scenario stops here: {error:#}"),
            );
        }
        scenario.lock().running = false;
    });
    true
}

fn run(scenario: &Scenario) -> anyhow::Result<()> {
    let cluster = &scenario.cluster;
    let [paris, dakar, montreal] = [0, 1, 2].map(|at| &cluster.members[at]);
    let shared = structures(&paris.api())?.0;
    let open = |api: &Api, title: &str| -> anyhow::Result<Value> {
        api.open(&json!({ "title": title, "description": title, "structure": shared }))
    };
    let disputed = open(&paris.api(), "Réseau coupé à l'accueil / Network down at the front desk")?;
    let (id, number) = (text(&disputed, "id"), text(&disputed, "number"));
    scenario.add_line(format!("{number} est ouvert à Paris."), format!("{number} is opened in Paris."));
    watch::wait_until_converged(cluster, Duration::from_secs(20));
    cluster.set_all_links(false)?;
    scenario.add_line(
        "Toutes les liaisons sont coupées. Chacun travaille seul.",
        "Every link is cut. Everybody works alone.",
    );
    paris.api().change(&id, &json!({ "priority": 1 }))?;
    dakar.api().change(&id, &json!({ "priority": 4 }))?;
    scenario.add_line(
        format!("Pour {number}, Paris met la priorité 1, Dakar la priorité 4."),
        format!("For {number}, Paris sets priority 1, Dakar priority 4."),
    );
    let ticket = open(&dakar.api(), "Imprimante de Dakar : bac vide / Dakar's printer is out of paper")?;
    ticket_lifecycle(scenario, &dakar.api(), &text(&ticket, "id"), &text(&ticket, "number"))?;
    for room in 1..=12 {
        for member in [paris, dakar, montreal] {
            open(&member.api(), &format!("{} : poste {room} / desk {room}", member.spec.name))?;
        }
    }
    scenario.add_line("Douze demandes de plus à chaque site.", "Twelve more requests at each site.");
    let back = cluster.kill(dakar)?;
    scenario.add_line(
        format!("Le serveur de Dakar est arrêté net ; il répond de nouveau après {:.2} s.", back.as_secs_f64()),
        format!("Dakar's server is stopped dead; it answers again after {:.2} s.", back.as_secs_f64()),
    );
    let waiting = watch::poll(dakar, &watch::SiteStatus::default()).to_send;
    cluster.set_all_links(true)?;
    let equal = watch::wait_until_converged(cluster, Duration::from_secs(60));
    let seconds = equal.context("the sites do not agree after a minute")?.as_secs_f64();
    scenario.add_line(
        format!("Liaisons rétablies : {waiting} à envoyer depuis Dakar, tout est égal après {seconds:.1} s."),
        format!("Links mended: {waiting} to send from Dakar, all equal after {seconds:.1} s."),
    );
    let seen = montreal.api().get(&format!("/api/v1/tickets/{id}"))?;
    let values = seen["conflict_list"].as_array().and_then(|list| list.first()).context("no values to settle")?;
    let count = values["values"].as_array().map_or(0, Vec::len);
    scenario.add_line(
        format!("{number} montre {count} valeurs, à trancher : ouvrez la demande et choisissez."),
        format!("{number} shows {count} values, to settle: open the request and choose."),
    );
    Ok(())
}

fn ticket_lifecycle(scenario: &Scenario, api: &Api, id: &str, number: &str) -> anyhow::Result<()> {
    api.comment(id, "Bonjour, nous apportons du papier. / Hello, paper is on its way.", "public")?;
    api.comment(id, "Prendre la rame du second tiroir.", "internal")?;
    api.advance(id, "in_progress", None)?;
    api.advance(id, "pending", Some("Papier commandé / Paper ordered"))?;
    api.advance(id, "resolved", None)?;
    api.advance(id, "closed", None)?;
    api.advance(id, "in_progress", None)?;
    api.advance(id, "resolved", None)?;
    api.advance(id, "closed", None)?;
    scenario.add_line(
        format!("{number} vit toute sa vie à Dakar : réponse, note, attente, résolution, réouverture, clôture."),
        format!("{number} lives its whole life in Dakar: reply, note, waiting, solved, reopened, closed."),
    );
    Ok(())
}
