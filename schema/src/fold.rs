//! Folding of texts for natural keys and search: case and Latin accents do not matter.

/// `text` in lower case, without Latin accents, ligatures opened, white space collapsed.
/// "Réseau  Œuvre" gives "reseau oeuvre". Letters outside Latin-1 and Latin Extended-A stay as they are.
pub fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        for letter in word.chars().flat_map(char::to_lowercase) {
            match base(letter) {
                Some(plain) => folded.push_str(plain),
                // Combining marks (U+0300 to U+036F) of decomposed letters disappear.
                None if ('\u{300}'..='\u{36f}').contains(&letter) => {}
                None => folded.push(letter),
            }
        }
    }
    folded
}

/// The plain letters of an accented Latin letter in lower case, `None` if it has none.
fn base(letter: char) -> Option<&'static str> {
    Some(match letter {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accents_case_and_spaces_do_not_matter() {
        assert_eq!(fold("  Réseau   ŒUVRE "), "reseau oeuvre");
        assert_eq!(fold("re\u{301}seau"), "reseau", "decomposed letters fold alike");
        assert_eq!(fold("Straße 東京"), "strasse 東京", "other scripts stay");
    }
}
