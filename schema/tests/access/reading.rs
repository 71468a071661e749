//! [`schema::access::readable_by`] and [`schema::access::may_govern`]: who sees what, and who changes the rules.

use schema::access::{may_govern, readable_by};
use schema::id::{DocId, StructureId};

use super::organisation::{IT, LAB, Organisation, SEAT, SHOP};
use super::rows;

/// Whose tickets somebody sees whole, with notes; who may change what the authority log says.
const READERS: &str = "
    who                               | seat | IT  | laboratory | shop | governs
    user                              | no   | no  | no         | no   | no
    technician                        | no   | yes | yes        | no   | no
    admin                             | no   | yes | yes        | no   | no
    user of the structure above       | no   | no  | no         | no   | no
    technician of the structure above | yes  | yes | yes        | no   | no
    admin of the structure above      | yes  | yes | yes        | no   | no
    technician of the structure below | no   | no  | yes        | no   | no
    technician elsewhere              | no   | no  | no         | yes  | no
    admin elsewhere                   | no   | no  | no         | yes  | no
    user everywhere                   | no   | no  | no         | no   | no
    technician everywhere             | yes  | yes | yes        | yes  | no
    admin everywhere                  | yes  | yes | yes        | yes  | yes
    user here, admin elsewhere        | no   | no  | no         | yes  | no
    user here, technician above       | yes  | yes | yes        | no   | no
    nobody's                          | no   | no  | no         | no   | no
    of Dakar                          | yes  | yes | yes        | yes  | yes
    disabled user                     | no   | no  | no         | no   | no
";

#[test]
fn who_sees_which_tickets_and_who_governs() {
    let here = Organisation::new();
    let yes = |is: bool| if is { "yes" } else { "no" };
    for (who, cells) in rows(READERS).skip(1) {
        let user = here.user(who).expect("somebody of the tables");
        let reach = readable_by(&here.policy, user);
        let stranger = Some(DocId([0xee; 32]));
        let own = Some(here.policy.person_of(&user.user));
        for (structure, expected) in [SEAT, IT, LAB, SHOP].iter().zip(&cells) {
            assert_eq!(yes(reach.notes(structure)), *expected, "{who}: notes of {structure}");
            let tickets: [&[Option<DocId>]; 3] = [&[], &[None], &[stranger]];
            for requesters in tickets {
                assert_eq!(yes(reach.ticket(structure, requesters)), *expected, "{who}: others' tickets");
            }
            // Also where several values of the requester stand: each of them may read the ticket until that is settled.
            assert!(reach.ticket(structure, &[stranger, own]), "{who} sees what they requested, wherever it is");
        }
        assert_eq!(yes(may_govern(user)), cells[4], "{who} governs");
        let unknown = StructureId([0x77; 16]);
        assert!(!reach.notes(&unknown), "{who}: a structure of which no statement speaks is nobody's");
    }
    let disabled = here.user("disabled admin").expect("somebody of the tables");
    assert!(!may_govern(disabled), "who is disabled changes no rule, whatever they were given");
}
