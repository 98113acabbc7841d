"""Who spends in the demo: an account with its workspaces, members, clients, projects and keys."""

import hashlib
from dataclasses import dataclass

from accounts.models import Account, ApiKey, Client, Member, Project, Workspace

TIME_ZONE = "America/New_York"

# slug, name, days that its requests are kept
WORKSPACES = (
    ("engineering", "Engineering", 90),
    ("support", "Support", 60),
    ("research", "Research", 90),
)

PEOPLE = (
    "Ada Okafor",
    "Ben Lindqvist",
    "Chiara Moretti",
    "Daniel Park",
    "Elena Petrova",
    "Farah Haddad",
    "Grace Whitfield",
    "Hugo Silva",
    "Inès Laurent",
    "Jonas Weber",
)
SERVICES = (("support-bot", "Support bot"), ("enrichment", "Nightly enrichment"))

CLIENTS = (
    ("bluebird-airways", "Bluebird Airways"),
    ("cedar-health", "Cedar Health"),
    ("harbor-bank", "Harbor Bank"),
    ("lumen-retail", "Lumen Retail"),
)

# workspace, tag, name, client
PROJECTS = (
    ("engineering", "code-assistant", "Code assistant", None),
    ("engineering", "ci-review", "Pull request review", None),
    ("engineering", "bluebird-app", "Bluebird booking app", "bluebird-airways"),
    ("engineering", "checkout", "Lumen checkout", "lumen-retail"),
    ("support", "harbor-chat", "Harbor Bank chat", "harbor-bank"),
    ("support", "ticket-triage", "Ticket triage", "cedar-health"),
    ("support", "help-center", "Help center", "lumen-retail"),
    ("research", "evals", "Model evaluations", None),
    ("research", "doc-search", "Document search", "cedar-health"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """An API key of the demo's gateway; requests that name no project go to its own."""

    name: str
    workspace: str
    member: str | None
    project: str | None = None

    @property
    def identifier(self) -> str:
        return f"ak_{hashlib.sha256(self.name.encode()).hexdigest()[:12]}"


KEYS = {
    key.name: key
    for key in (
        Key("ada-laptop", "engineering", "ada@acme.example", "code-assistant"),
        Key("ben-laptop", "engineering", "ben@acme.example", "code-assistant"),
        Key("chiara-laptop", "engineering", "chiara@acme.example", "code-assistant"),
        Key("daniel-laptop", "engineering", "daniel@acme.example", "code-assistant"),
        Key("elena-laptop", "engineering", "elena@acme.example", "code-assistant"),
        Key("elena-bluebird-staging", "engineering", "elena@acme.example", "bluebird-app"),
        Key("ci", "engineering", None, "ci-review"),
        Key("hackathon-bot", "engineering", "ben@acme.example", "code-assistant"),
        Key("support-bot-live", "support", "support-bot", "harbor-chat"),
        Key("farah-console", "support", "farah@acme.example", "help-center"),
        Key("grace-console", "support", "grace@acme.example", "help-center"),
        Key("hugo-triage", "support", "hugo@acme.example", "ticket-triage"),
        Key("enrichment", "research", "enrichment", "doc-search"),
        Key("ines-notebook", "research", "ines@acme.example"),
        Key("jonas-notebook", "research", "jonas@acme.example"),
    )
}


def create_account() -> Account:
    """The account and everything in it."""
    account = Account.objects.create(name="Acme Inc.", slug="acme", time_zone=TIME_ZONE)
    workspaces = {
        slug: Workspace.objects.create(account=account, slug=slug, name=name, retention_days=kept)
        for slug, name, kept in WORKSPACES
    }
    clients = {
        slug: Client.objects.create(account=account, slug=slug, name=name) for slug, name in CLIENTS
    }
    projects = {
        tag: Project.objects.create(
            workspace=workspaces[workspace],
            tag=tag,
            name=name,
            client=clients[client] if client else None,
        )
        for workspace, tag, name, client in PROJECTS
    }
    members = {member.identifier: member for member in create_members(account)}
    for key in KEYS.values():
        ApiKey.objects.create(
            workspace=workspaces[key.workspace],
            identifier=key.identifier,
            name=key.name,
            member=members[key.member] if key.member else None,
            default_project=projects[key.project] if key.project else None,
        )
    return account


def create_members(account: Account) -> list[Member]:
    people = [
        Member.objects.create(account=account, identifier=email, email=email, name=name)
        for name in PEOPLE
        for email in [email_of(name)]
    ]
    services = [
        Member.objects.create(
            account=account, identifier=identifier, name=name, kind=Member.Kind.SERVICE
        )
        for identifier, name in SERVICES
    ]
    return people + services


def email_of(name: str) -> str:
    first_name = name.partition(" ")[0].lower().replace("è", "e")
    return f"{first_name}@acme.example"
