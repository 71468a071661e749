//! The texts of the generated tickets, in French and English. Names are combined from these lists and belong to nobody.

/// A request for a ticket; `{}` is replaced by a room.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// The title: one line.
    pub title: &'static str,
    /// The description: one or two sentences.
    pub description: &'static str,
    /// The ticket's kind: `incident` or `service_request`.
    pub kind: &'static str,
    /// Whether it belongs to the structure that Dakar lacks.
    pub restricted: bool,
}

const fn incident(title: &'static str, description: &'static str) -> Request {
    Request { title, description, kind: "incident", restricted: false }
}
const fn service(title: &'static str, description: &'static str) -> Request {
    Request { title, description, kind: "service_request", restricted: false }
}
const fn staff(title: &'static str, description: &'static str) -> Request {
    Request { title, description, kind: "service_request", restricted: true }
}

/// The requests from which the tickets are generated.
pub const REQUESTS: &[Request] = &[
    incident(
        "Réseau lent, {}",
        "Depuis ce matin les pages mettent plus d'une minute à s'ouvrir. Voisins touchés aussi.",
    ),
    incident("Imprimante de Dakar en panne, {}", "Voyant rouge, bac plein, le papier reste coincé à chaque essai."),
    incident("Badge reader dead, {}", "The light stays red for everybody; the guard opens by hand."),
    incident("Écran noir au démarrage, {}", "Le poste s'allume, le ventilateur tourne, rien à l'écran."),
    incident("VPN drops every ten minutes", "It reconnects by itself, but open files are lost each time."),
    incident("Messagerie : pièces jointes refusées", "Les fichiers de plus de 5 Mo reviennent avec une erreur."),
    incident("Wi-Fi weak in {}", "Calls break up near the windows, fine in the corridor."),
    incident("Téléphone muet, {}", "On entend l'autre, l'autre n'entend rien. Combiné déjà changé."),
    incident("Shared drive says access denied", "It worked yesterday. The whole team sees the same message."),
    incident("Vidéoprojecteur flou, {}", "Mise au point impossible, l'image reste double."),
    incident("Laptop battery empties in an hour", "Brand new battery, same result with two chargers."),
    incident("Le serveur de fichiers est saturé", "Plus moyen d'enregistrer, message « disque plein »."),
    incident("Clock of the till is wrong, {}", "Receipts show yesterday's date since the power cut."),
    incident("Onduleur qui siffle, {}", "Bip continu depuis la coupure de cette nuit."),
    service("Installer un poste pour une arrivée, {}", "Arrivée lundi : poste, écran, casque, badge."),
    service("New screen for {}", "Two screens of 24 inches instead of the old one."),
    service("Accès à l'application de paie", "Lecture seule, pour la clôture du mois."),
    service("Phone line for {}", "Internal calls only, voice mail in French and English."),
    service("Déménagement de trois postes vers {}", "Vendredi après 17 h si possible."),
    service("Licence for the drawing software", "One user, for six months."),
    service("Réinitialiser un mot de passe", "Compte bloqué après trois essais."),
    service("Borrow a projector for {}", "Thursday morning, back the same day."),
    staff("Attestation d'emploi", "Pour un dossier de logement, avant la fin du mois."),
    staff("Correct the address on my contract", "Moved in October; the pay slip still has the old one."),
    staff("Solde de congés inexact", "Deux jours de récupération manquent."),
    staff("Parental leave, dates to confirm", "From February, sixteen weeks."),
    staff("Remboursement de transport", "Justificatifs joints au dossier papier."),
];

/// Rooms, for the `{}` of a request.
pub const ROOMS: &[&str] = &[
    "accueil",
    "bâtiment B",
    "salle Baobab",
    "room 214",
    "atelier",
    "second floor",
    "salle Érable",
    "warehouse",
    "bureau 12",
    "library",
    "guichet 3",
    "meeting room North",
];

/// Public replies to the requester.
pub const REPLIES: &[&str] = &[
    "Bonjour, nous regardons et revenons vers vous dans la matinée.",
    "Could you tell us whether a colleague next to you sees the same?",
    "Un technicien passe entre 14 h et 15 h.",
    "Please restart it once; we watch from here.",
    "La pièce est commandée, livraison prévue jeudi.",
    "It should work again. Do you confirm?",
];

/// Internal notes of technicians.
pub const NOTES: &[&str] = &[
    "Même panne qu'en mars : câble à remplacer derrière l'armoire.",
    "Switch port shows errors; moved to the spare one.",
    "Garantie expirée, voir avec les achats.",
    "Third time this month. Worth a problem ticket.",
];

/// Reasons for the status `pending`.
pub const WAITING: &[&str] = &["Awaiting User Info", "En attente du fournisseur", "Awaiting Vendor", "Pièce commandée"];

/// First names of the generated people.
pub const FIRST_NAMES: &[&str] = &[
    "Awa", "Nils", "Inès", "Tom", "Fatou", "Zoé", "Omar", "Lise", "Malik", "Ruth", "Léon", "Aya", "Hugo", "Mona",
    "Ousmane", "Clara",
];

/// Last names of the generated people.
pub const LAST_NAMES: &[&str] =
    &["Baobab", "Érable", "Tilleul", "Rivière", "Maple", "Harbour", "Colline", "Acacia", "Meadow", "Fromager"];
