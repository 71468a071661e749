//! The story that plays by itself on the stage, with a line for each step in French and English.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tests::sites::api::{Api, text};
use tests::sites::cast::Cast;
use tests::sites::cast::structures;
use tests::sites::watch;

/// Between two steps, so that people can follow.
const BREATH: Duration = Duration::from_millis(1600);

/// A line of the log, in both languages.
struct Line {
    at: String,
    fr: String,
    en: String,
}

#[derive(Default)]
struct Told {
    running: bool,
    lines: Vec<Line>,
}

/// The story and what it has told so far.
pub struct Story {
    cast: Arc<Cast>,
    told: Mutex<Told>,
}

impl Story {
    /// A story that has not begun.
    pub fn new(cast: Arc<Cast>) -> Self {
        Self { cast, told: Mutex::default() }
    }

    /// What it has told, in one language.
    pub fn told(&self, french: bool) -> Value {
        let told = self.lock();
        let text = |line: &Line| if french { line.fr.clone() } else { line.en.clone() };
        let step = told.lines.last().filter(|_| told.running).map(text);
        let log: Vec<Value> = told.lines.iter().map(|line| json!({ "at": line.at, "text": text(line) })).collect();
        json!({ "running": told.running, "step": step, "log": log })
    }

    fn say(&self, fr: impl Into<String>, en: impl Into<String>) {
        let at = node::clock::rfc3339(node::clock::now());
        self.lock().lines.push(Line { at, fr: fr.into(), en: en.into() });
        std::thread::sleep(BREATH);
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Begins the story; `false` if it is being told already.
pub fn play(story: &Arc<Story>) -> bool {
    let mut told = story.lock();
    if told.running {
        return false;
    }
    *told = Told { running: true, lines: Vec::new() };
    drop(told);
    let story = story.clone();
    std::thread::spawn(move || {
        if let Err(error) = tell(&story) {
            story.say(format!("L'histoire s'arrête ici : {error:#}"), format!("The story ends here: {error:#}"));
        }
        story.lock().running = false;
    });
    true
}

fn tell(story: &Story) -> anyhow::Result<()> {
    let cast = &story.cast;
    let [paris, dakar, montreal] = [0, 1, 2].map(|at| &cast.members[at]);
    let shared = structures(&paris.api())?.0;
    let open = |api: &Api, title: &str| -> anyhow::Result<Value> {
        api.open(&json!({ "title": title, "description": title, "structure": shared }))
    };
    let disputed = open(&paris.api(), "Réseau coupé à l'accueil / Network down at the front desk")?;
    let (id, number) = (text(&disputed, "id"), text(&disputed, "number"));
    story.say(format!("{number} est ouvert à Paris."), format!("{number} is opened in Paris."));
    watch::wait_until_equal(cast, Duration::from_secs(20));
    cast.set_all(false)?;
    story.say("Toutes les liaisons sont coupées. Chacun travaille seul.", "Every cable is cut. Everybody works alone.");
    paris.api().change(&id, &json!({ "priority": 1 }))?;
    dakar.api().change(&id, &json!({ "priority": 4 }))?;
    story.say(
        format!("Pour {number}, Paris met la priorité 1, Dakar la priorité 4."),
        format!("For {number}, Paris sets priority 1, Dakar priority 4."),
    );
    let lived = open(&dakar.api(), "Imprimante de Dakar : bac vide / Dakar's printer is out of paper")?;
    whole_life(story, &dakar.api(), &text(&lived, "id"), &text(&lived, "number"))?;
    for room in 1..=12 {
        for member in [paris, dakar, montreal] {
            open(&member.api(), &format!("{} : poste {room} / desk {room}", member.place.name))?;
        }
    }
    story.say("Douze demandes de plus à chaque site.", "Twelve more requests at each site.");
    let back = cast.kill(dakar)?;
    story.say(
        format!("Le serveur de Dakar est arrêté net ; il répond de nouveau après {:.2} s.", back.as_secs_f64()),
        format!("Dakar's server is stopped dead; it answers again after {:.2} s.", back.as_secs_f64()),
    );
    let waiting = watch::look(dakar, &watch::Seen::default()).to_send;
    cast.set_all(true)?;
    let equal = watch::wait_until_equal(cast, Duration::from_secs(60));
    let seconds = equal.context("the sites do not agree after a minute")?.as_secs_f64();
    story.say(
        format!("Liaisons rétablies : {waiting} à envoyer depuis Dakar, tout est égal après {seconds:.1} s."),
        format!("Cables mended: {waiting} to send from Dakar, all equal after {seconds:.1} s."),
    );
    let seen = montreal.api().get(&format!("/api/v1/tickets/{id}"))?;
    let values = seen["conflict_list"].as_array().and_then(|list| list.first()).context("no values to settle")?;
    let count = values["values"].as_array().map_or(0, Vec::len);
    story.say(
        format!("{number} montre {count} valeurs, à trancher : ouvrez la demande et choisissez."),
        format!("{number} shows {count} values, to settle: open the request and choose."),
    );
    Ok(())
}

fn whole_life(story: &Story, api: &Api, id: &str, number: &str) -> anyhow::Result<()> {
    api.comment(id, "Bonjour, nous apportons du papier. / Hello, paper is on its way.", "public")?;
    api.comment(id, "Prendre la rame du second tiroir.", "internal")?;
    api.advance(id, "in_progress", None)?;
    api.advance(id, "pending", Some("Papier commandé / Paper ordered"))?;
    api.advance(id, "resolved", None)?;
    api.advance(id, "closed", None)?;
    api.advance(id, "in_progress", None)?;
    api.advance(id, "resolved", None)?;
    api.advance(id, "closed", None)?;
    story.say(
        format!("{number} vit toute sa vie à Dakar : réponse, note, attente, résolution, réouverture, clôture."),
        format!("{number} lives its whole life in Dakar: reply, note, waiting, solved, reopened, closed."),
    );
    Ok(())
}
