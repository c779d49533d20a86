//! Passwords of twelve characters or more that guessers try first: common words with numbers around them, adjacent
//! keys, and short pieces repeated. A list of whole passwords would hold the same few shapes a thousand times.

/// Words in most common passwords, with numbers and signs before or after.
const WORDS: &[&str] = &[
    "abcdefgh",
    "access",
    "admin",
    "administrator",
    "baseball",
    "changeme",
    "changemenow",
    "charlie",
    "company",
    "computer",
    "default",
    "dragon",
    "football",
    "ftp",
    "ftpadmin",
    "ftppassword",
    "ftpserver",
    "ftpuser",
    "guest",
    "hello",
    "iloveyou",
    "internet",
    "letmein",
    "letmeinnow",
    "liverpool",
    "login",
    "manager",
    "master",
    "michael",
    "monkey",
    "mypassword",
    "partner",
    "passw",
    "password",
    "passwordis",
    "pokemon",
    "princess",
    "qwerty",
    "qwertyuiop",
    "root",
    "secret",
    "server",
    "shadow",
    "starwars",
    "sunshine",
    "superman",
    "supervisor",
    "system",
    "temp",
    "temporary",
    "test",
    "testing",
    "transfer",
    "trustno",
    "user",
    "waybill",
    "welcome",
    "welcometo",
    "winter",
    "spring",
    "summer",
    "autumn",
    "january",
    "february",
    "march",
    "april",
    "august",
    "september",
    "october",
    "november",
    "december",
    "zxcvbnm",
];
/// Adjacent keys and consecutive letters.
const ROWS: &[&str] = &[
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "1234567890qwertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
    "q1w2e3r4t5y6u7i8o9p0",
];
/// With fewer different characters than this a password is soon guessed.
const DIFFERENT_MIN: usize = 5;
/// A repeated piece of this length or shorter is soon guessed.
const PIECE_MAX: usize = 10;

/// Whether a password is among those guessed first.
pub fn is_common(password: &str) -> bool {
    let chars: Vec<char> = password.to_lowercase().chars().collect();
    let mut different = chars.clone();
    different.sort_unstable();
    different.dedup();
    different.len() < DIFFERENT_MIN || is_repeated(&chars) || is_in_a_row(&chars) || is_word(&chars)
}

fn is_repeated(chars: &[char]) -> bool {
    (1..=PIECE_MAX.min(chars.len() / 2)).any(|length| chars.iter().zip(&chars[length..]).all(|(one, next)| one == next))
}

fn is_in_a_row(chars: &[char]) -> bool {
    let (forth, back): (String, String) = (chars.iter().collect(), chars.iter().rev().collect());
    ROWS.iter().any(|row| row.contains(&forth) || row.contains(&back))
}

/// A common word, as it is or with digits for letters, surrounded by anything but letters.
fn is_word(chars: &[char]) -> bool {
    let letter = |c: &char| match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        other => *other,
    };
    let all: String = chars.iter().collect();
    let bare = all.trim_matches(|c: char| !c.is_alphabetic());
    let spelled: String = bare.chars().map(|c| letter(&c)).collect();
    WORDS.iter().any(|word| bare == *word || spelled == *word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guessed_first_is_common() {
        for common in [
            "password1234",
            "P@ssw0rd!2024",
            "Administrator1!",
            "passwordpassword",
            "123456789012",
            "210987654321",
            "qwertyuiopas",
            "1qaz2wsx3edc",
            "aaaaaaaaaaaa",
            "121212121212",
            "abc123abc123",
            "Welcome-2026!!",
            "iloveyou12345",
            "Summer2026!!!",
        ] {
            assert!(is_common(common), "{common}");
        }
    }

    #[test]
    fn several_words_and_generated_ones_are_not() {
        for fine in [
            "correct horse battery",
            "a long enough secret",
            "VxkQ7mdtcR2pNhsWgJ4fbyT9",
            "password of my late aunt",
            "Grüße aus Gent 7",
            "ünïcödé passphräse",
            "welcome to the jungle 5",
        ] {
            assert!(!is_common(fine), "{fine}");
        }
    }
}
