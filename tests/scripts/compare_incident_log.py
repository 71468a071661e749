#!/usr/bin/env python3
"""Compares an incident event log with what a site returns: compare_incident_log.py FILE URL TOKEN."""
import csv
import json
import sys
import urllib.request

STATES = {"New": "new", "Active": "in_progress", "Resolved": "resolved", "Closed": "closed"}
# The rows of these contradict themselves: the group never changes although the count of changes does.
CONTRADICTORY = {"INC0000173", "INC0000722"}


def ask(url, token, path):
    request = urllib.request.Request(url + path, headers={"Authorization": "Bearer " + token})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def expected(row):
    """The end state of an incident: status, its reason, priority, reopenings."""
    word = row["incident_state"]
    status, reason = ("pending", word) if word.startswith("Awaiting ") else (STATES[word], None)
    return {"end state": (status, reason), "priority": int(row["priority"].split(" ")[0]),
            "reopen count": int(row["reopen_count"])}


def actual(url, token, number):
    """The state that the site returns of an incident, and how often its group changed after it was opened."""
    found = ask(url, token, f"/api/v1/tickets?external={number}&limit=1")["items"]
    if len(found) != 1:
        return None, None
    ticket = ask(url, token, f"/api/v1/tickets/{found[0]['id']}")
    history = ask(url, token, f"/api/v1/tickets/{ticket['id']}/history")["items"]
    made = {entry["change"] for entry in history if entry["field"] == "created"}
    groups = {entry["change"] for entry in history if entry["field"] == "group"} - made
    return {"end state": (ticket["status"], ticket["status_reason"]), "priority": ticket["priority"],
            "reopen count": ticket["reopen_count"]}, len(groups)


def main(file, url, token):
    with open(file, newline="", encoding="utf-8-sig") as log:
        last = {row["number"]: row for row in csv.DictReader(log)}  # later rows replace earlier ones
    wrong = {"end state": [], "priority": [], "reopen count": [], "group changes": []}
    for number, row in last.items():
        ticket, groups = actual(url, token, number)
        for kind, value in expected(row).items():
            if ticket is None or ticket[kind] != value:
                wrong[kind].append(number)
        if groups != int(row["reassignment_count"]):
            wrong["group changes"].append(number)
    for kind, numbers in wrong.items():
        named = f"; not {', '.join(sorted(numbers)[:10])}" if numbers else ""
        print(f"{kind}: {len(last) - len(numbers)} of {len(last)} agree with the file{named}")
    good = all(not numbers for kind, numbers in wrong.items() if kind != "group changes")
    return 0 if good and set(wrong["group changes"]) == CONTRADICTORY and len(last) == 500 else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) == 4 else __doc__)
