//! Pure: which user a process runs as, from the container's own passwd and group files.

use crate::error::{Error, ErrorKind, Result};

/// Who a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// The primary group first.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

/// Ids are non-negative numbers of 31 bits.
const MAX_ID: u32 = i32::MAX as u32;

struct PasswdEntry<'a> {
    name: &'a str,
    uid: Number,
    gid: Number,
    home: &'a str,
}

/// An id as a file has it; `None` is one that is no id (4294967295 would mean "leave it as it
/// is" to the kernel, and so root).
type Number = Option<u32>;

/// A missing one is zero, as for others who read these files.
fn number(text: &str) -> Number {
    if text.is_empty() {
        return Some(0);
    }
    parse_id(text).ok().flatten()
}

fn usable(number: Number, name: &str) -> Result<u32> {
    number.ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            format!("the entry of {name} has an id that is no number in range 0-2147483647"),
        )
    })
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: Number,
    members: &'a str,
}

/// Lines with missing or odd fields are tolerated, as empty or zero.
fn passwd_entries(text: &str) -> impl Iterator<Item = PasswdEntry<'_>> {
    lines(text).map(|line| {
        let mut fields = line.split(':');
        let mut field = || fields.next().unwrap_or("");
        let name = field();
        let _password = field();
        let (uid, gid) = (field(), field());
        let _comment = field();
        PasswdEntry {
            name,
            uid: number(uid),
            gid: number(gid),
            home: field(),
        }
    })
}

fn group_entries(text: &str) -> impl Iterator<Item = GroupEntry<'_>> {
    lines(text).map(|line| {
        let mut fields = line.split(':');
        let mut field = || fields.next().unwrap_or("");
        let name = field();
        let _password = field();
        let gid = field();
        GroupEntry {
            name,
            gid: number(gid),
            members: field(),
        }
    })
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty())
}

/// A number, strictly: digits only. `None`: it is a name.
fn parse_id(text: &str) -> Result<Option<u32>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    match text.parse::<u32>() {
        Ok(id) if id <= MAX_ID => Ok(Some(id)),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            "uids and gids must be in range 0-2147483647",
        )),
    }
}

/// Finds `user[:group]` and the further groups.
pub(super) fn resolve(
    asked: &str,
    group_add: &[String],
    passwd: &str,
    group: &str,
) -> Result<Identity> {
    let (user, asked_group) = match asked.split_once(':') {
        Some((user, group)) => (user, group),
        None => (asked, ""),
    };
    let user_id = if user.is_empty() {
        Some(0)
    } else {
        parse_id(user)?
    };
    let found = passwd_entries(passwd).find(|entry| {
        (!user.is_empty() && entry.name == user) || user_id.is_some() && entry.uid == user_id
    });
    let mut identity = match (&found, user_id) {
        (Some(entry), _) => Identity {
            uid: usable(entry.uid, entry.name)?,
            gid: usable(entry.gid, entry.name)?,
            groups: Vec::new(),
            home: entry.home.to_owned(),
        },
        (None, Some(uid)) => Identity {
            uid,
            gid: 0,
            groups: Vec::new(),
            home: String::new(),
        },
        (None, None) => {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("unable to find user {user}: no matching entries in passwd file"),
            ));
        }
    };
    let mut further = Vec::new();
    if !asked_group.is_empty() {
        // An explicit group takes the place of all groups that list the user.
        identity.gid = find_group(asked_group, group)?.ok_or_else(|| {
            Error::new(
                ErrorKind::Invalid,
                format!("unable to find group {asked_group}: no matching entries in group file"),
            )
        })?;
    } else if let Some(entry) = &found {
        for found in
            group_entries(group).filter(|g| g.members.split(',').any(|member| member == entry.name))
        {
            further.push(usable(found.gid, found.name)?);
        }
    }
    for name in group_add {
        let gid = find_group(name, group)?.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, format!("Unable to find group {name}"))
        })?;
        further.push(gid);
    }
    identity.groups = vec![identity.gid];
    for gid in further {
        if !identity.groups.contains(&gid) {
            identity.groups.push(gid);
        }
    }
    if identity.home.is_empty() {
        identity.home = "/".into();
    }
    Ok(identity)
}

/// By name or number; a number need not be in the file.
fn find_group(asked: &str, group: &str) -> Result<Option<u32>> {
    let id = parse_id(asked)?;
    let found = group_entries(group)
        .find(|entry| entry.name == asked || id.is_some() && entry.gid == id)
        .map(|entry| usable(entry.gid, entry.name))
        .transpose()?;
    Ok(found.or(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:www:/srv:/bin/sh\n\nbroken\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:web,other\nweb:x:34:\nextra:x:50:web\n";

    fn shown(user: &str, add: &[&str]) -> String {
        let add: Vec<String> = add.iter().map(|name| (*name).to_owned()).collect();
        match resolve(user, &add, PASSWD, GROUP) {
            Ok(i) => format!("{}:{} {:?} {}", i.uid, i.gid, i.groups, i.home),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn users_are_found_as_docker_finds_them() {
        assert_eq!(shown("", &[]), "0:0 [0] /root");
        assert_eq!(shown("web", &[]), "33:34 [34, 4, 50] /srv");
        assert_eq!(shown("33", &[]), "33:34 [34, 4, 50] /srv");
        assert_eq!(shown("1000", &[]), "1000:0 [0] /");
        assert_eq!(shown("web:adm", &[]), "33:4 [4] /srv");
        assert_eq!(shown("1000:1001", &[]), "1000:1001 [1001] /");
        assert_eq!(shown(":50", &[]), "0:50 [50] /root");
        assert_eq!(shown("web", &["adm", "999"]), "33:34 [34, 4, 50, 999] /srv");
    }

    #[test]
    fn a_file_of_the_image_makes_nobody_root_by_a_number_that_is_none() {
        for wrong in ["4294967295", "-1", "1000x", "+5", "99999999999"] {
            for (passwd, group, asked) in [
                (format!("bob:x:{wrong}:1::/:"), String::new(), "bob"),
                (format!("bob:x:1:{wrong}::/:"), String::new(), "bob"),
                ("bob:x:1:1::/:".into(), format!("g:x:{wrong}:bob"), "bob"),
                ("bob:x:1:1::/:".into(), format!("g:x:{wrong}:"), "bob:g"),
            ] {
                let error = resolve(asked, &[], &passwd, &group).unwrap_err();
                assert!(error.to_string().contains("no number in range"), "{error}");
            }
        }
    }

    #[test]
    fn unknown_names_and_numbers_out_of_range_are_told() {
        assert_eq!(
            shown("bob", &[]),
            "unable to find user bob: no matching entries in passwd file"
        );
        assert_eq!(
            shown("web:none", &[]),
            "unable to find group none: no matching entries in group file"
        );
        assert_eq!(shown("0", &["none"]), "Unable to find group none");
        for wrong in ["-1", "2147483648", "99999999999999999999", "0:-1"] {
            assert_eq!(
                shown(wrong, &[]),
                "uids and gids must be in range 0-2147483647",
                "{wrong}"
            );
        }
        assert_eq!(
            shown("+0", &[]),
            "unable to find user +0: no matching entries in passwd file"
        );
    }
}
