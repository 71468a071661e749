//! Generated ticket texts in French and English, all different, all from one seed.
//!
//! A text consists of sentences in one language: function words (articles, prepositions) and technical terms, the ones
//! in front of each list more often, and now and then a number. So it is about as hard to compress as short real texts.

use tests::rng::Rng;

const FRENCH_FUNCTION_WORDS: &str = "\
    le la les un une des de du au aux et ou mais donc car que qui dans sur sous avec sans \
    pour par ne pas plus est sont était a ont il elle nous vous je on ce cette ces mon notre votre son leur très déjà \
    encore aussi toujours depuis avant après quand si dès vers chez entre comme";
const FRENCH_TERMS: &str = "\
    imprimante poste écran réseau serveur bureau message erreur fichier dossier partage compte mot \
    passe matin bâtiment étage salle accès connexion lent panne bloqué démarrage application mise jour logiciel \
    session clavier souris câble prise téléphone appel messagerie courriel pièce jointe badge lecteur porte onduleur \
    coupure courant redémarré vérifié remplacé commandé livré fournisseur garantie technicien collègue service équipe \
    demande urgente réunion visioconférence caméra micro casque son image projecteur lampe toner papier bac bourrage \
    rouleau tambour scanner numérisation pilote installation licence expirée renouvelée navigateur page certificat \
    date heure horloge fuseau décalage sauvegarde restauration disque plein espace quota mémoire ventilateur bruit \
    chauffe batterie chargeur portable station accueil adaptateur commutateur armoire brassage borne sans-fil signal \
    faible fort débit latence perte paquet passerelle tunnel pare-feu règle port ouvert fermé refusé autorisé droit \
    groupe annuaire profil utilisateur arrivée départ mutation congé remplaçant responsable direction comptabilité \
    paie achats logistique entrepôt atelier magasin caisse ticket terminal paiement douchette étiquette inventaire \
    référence numéro série modèle version ancienne nouvelle provisoire définitif essai test confirmé constaté \
    impossible intermittent aléatoire fréquent quotidien hebdomadaire lundi mardi mercredi jeudi vendredi semaine \
    mois clôture rapport tableau cellule formule macro modèle gabarit signature archive boîte saturée doublon \
    synchronisation calendrier agenda contact carnet langue affichage police couleur contraste résolution fenêtre \
    raccourci icône menu bouton clic gauche droit sélection copie collage suppression corbeille récupération \
    chiffrement clé jeton double facteur code secret rappel procédure guide notice formation";
const ENGLISH_FUNCTION_WORDS: &str = "\
    the a an and or but so of to in on at by for from with without into over under is are \
    was were be been has have had it its this that these those we you they he she my our your their not no still \
    again only when while since before after until if because as than very just too about all both each";
const ENGLISH_TERMS: &str = "\
    printer laptop screen network server office message error file folder share account password \
    morning building floor room access connection slow broken locked startup application update software session \
    keyboard mouse cable socket phone call mail attachment badge reader door battery outage power restarted checked \
    replaced ordered delivered supplier warranty technician colleague service team request urgent meeting video \
    camera microphone headset sound picture projector lamp toner paper tray jam roller drum scanner driver install \
    licence expired renewed browser page certificate date time clock zone backup restore disk full space quota \
    memory fan noise heat charger docking station adapter switch cabinet patch wireless signal weak strong \
    throughput latency loss packet gateway tunnel firewall rule port open closed refused allowed right group \
    directory profile user joiner leaver manager accounting payroll purchasing logistics warehouse workshop shop \
    till receipt terminal payment label stock reference number serial model version old new temporary final trial \
    confirmed seen impossible intermittent random frequent daily weekly monday tuesday wednesday thursday friday \
    week month closing report spreadsheet cell formula macro template signature archive mailbox saturated duplicate \
    calendar contact language display font colour contrast resolution window shortcut icon menu button click \
    selection copy paste delete recovery encryption key token second factor code reminder procedure manual training \
    unplugged swapped tested escalated waiting answer please thanks regards tomorrow yesterday afternoon evening \
    corridor desk corner drawer lid hinge cracked scratched lost stolen found returned borrowed spare image \
    deployment rollback patching reboot hang freeze crash dump log trace counter threshold alert dashboard";

/// One in so many words is a number.
const NUMBER_EVERY: u64 = 14;

/// The words of one language.
struct Vocabulary {
    function_words: Vec<&'static str>,
    terms: Vec<&'static str>,
}

impl Vocabulary {
    fn new(function_words: &'static str, terms: &'static str) -> Self {
        Self { function_words: function_words.split_whitespace().collect(), terms: terms.split_whitespace().collect() }
    }

    fn word(&self, rng: &mut Rng, out: &mut String) {
        match rng.below(NUMBER_EVERY) {
            0 => out.push_str(&(1 + rng.below(9_999)).to_string()),
            half if half % 2 == 0 => out.push_str(pick_skewed(rng, &self.function_words)),
            _ => out.push_str(pick_skewed(rng, &self.terms)),
        }
    }
}

/// A random word, those in front more often.
fn pick_skewed(rng: &mut Rng, words: &[&'static str]) -> &'static str {
    let count = words.len() as u64;
    words[rng.below(count).min(rng.below(count)) as usize]
}

/// Generates titles, descriptions and comments.
pub struct TextGenerator {
    /// The random number generator; callers use it too, so that everything depends on one seed.
    pub rng: Rng,
    languages: [Vocabulary; 2],
}

impl TextGenerator {
    /// The generator of a seed.
    pub fn new(seed: u64) -> Self {
        let languages = [
            Vocabulary::new(FRENCH_FUNCTION_WORDS, FRENCH_TERMS),
            Vocabulary::new(ENGLISH_FUNCTION_WORDS, ENGLISH_TERMS),
        ];
        Self { rng: Rng::new(seed), languages }
    }

    /// A title: 20 to 60 characters.
    pub fn title(&mut self) -> String {
        let chars = 20 + self.rng.below(41);
        self.text(chars as usize)
    }

    /// A description: around 300 characters.
    pub fn description(&mut self) -> String {
        let chars = 250 + self.rng.below(101);
        self.text(chars as usize)
    }

    /// A comment: 40 to 160 characters.
    pub fn comment(&mut self) -> String {
        let chars = 40 + self.rng.below(121);
        self.text(chars as usize)
    }

    /// A text of at most `chars` characters; the last sentence is cut off.
    fn text(&mut self, chars: usize) -> String {
        let Self { rng, languages } = self;
        let language = &languages[rng.below(2) as usize];
        let mut out = String::new();
        while out.chars().count() < chars {
            let begun = out.len();
            for place in 0..6 + rng.below(9) {
                if place > 0 {
                    out.push(' ');
                }
                language.word(rng, &mut out);
            }
            let first = out[begun..].chars().next().unwrap_or_default();
            out.replace_range(begun..begun + first.len_utf8(), &first.to_uppercase().to_string());
            out.push_str(". ");
        }
        out.chars().take(chars).collect::<String>().trim_end().to_owned()
    }
}
