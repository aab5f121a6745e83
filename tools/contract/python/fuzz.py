"""Hooks for schemathesis: who asks, and what there is to ask about. What it makes up by itself nobody knows, and 404 says little."""

import itertools
import os
import random
import uuid

import requests
import schemathesis

BASE = os.environ["BASE"]
PASSWORD = "Wonderland1"
GIF = b"GIF89a\x01\0\x01\0\x80\0\0\xff\xff\xff\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;"
# Some operations destroy what they are about, so there is new every few calls.
CALLS_IN_A_WORLD = 25


class Person:
    def __init__(self):
        self.name = f"f_{uuid.uuid4().hex[:12]}"
        body = {"username": self.name, "password": PASSWORD, "passwordConfirm": PASSWORD}
        self.begin(self.ask("POST", "/auth/register", json=body))

    def begin(self, session):
        self.token, self.id = session["accessToken"], session["user"]["id"]

    def ask(self, method, path, **more):
        headers = {"Authorization": f"Bearer {self.token}"} if hasattr(self, "token") else {}
        answer = requests.request(method, f"{BASE}/api{path}", headers=headers, timeout=60, **more)
        answer.raise_for_status()
        return answer.json() if answer.content else None


class World:
    """Ada, her contact Ben, Carl, who asks to be one, and what they have together."""

    def __init__(self):
        self.ada, self.ben, self.carl = Person(), Person(), Person()
        asked = self.ada.ask("POST", "/contacts/request", json={"contactId": self.ben.id})
        self.ben.ask("POST", f"/contacts/{asked['id']}/accept")
        self.request = self.carl.ask("POST", "/contacts/request", json={"contactId": self.ada.id})["id"]
        self.direct = self.ada.ask("POST", "/chats/direct", json={"contactId": self.ben.id})["id"]
        group = self.ada.ask("POST", "/chats/group", json={"name": "Tea", "participantIds": [self.ben.id]})
        self.group, self.slug = group["id"], group["slug"]
        self.message = self.ada.ask("POST", f"/chats/{self.group}/messages", json={"content": "Hello"})["id"]
        self.reaction = self.ada.ask("POST", f"/messages/{self.message}/reactions", json={"emoji": "👍"})["id"]
        image = self.ada.ask("POST", "/attachments/upload", files={"image": ("a.gif", GIF)})
        self.image, self.key = image["id"], image["url"].rsplit("/", 1)[1]
        # Another login: whoever logs out does not end this one.
        body = {"username": self.ada.name, "password": PASSWORD}
        self.ada.begin(self.ada.ask("POST", "/auth/login", json=body))
        self.session = self.ada.ask("GET", "/auth/sessions")["sessions"][-1]["id"]

    def named(self, name, method, path):
        """What a parameter of this name stands for in this path."""
        if name != "id":
            return {"userId": self.ben.id, "reaction": self.reaction, "slug": self.slug, "key": self.key}[name]
        if path.endswith(("/accept", "/reject")):
            return self.request
        if path == "/api/messages/{id}" and method in ("GET", "POST"):
            return self.group
        noun = path.split("/")[2]
        of = {"chats": chance.choice([self.group, self.group, self.direct]), "messages": self.message}
        of |= {"users": self.ben.id, "contacts": self.ben.id, "attachments": self.image}
        return self.session if "sessions" in path else of[noun]


calls = itertools.count()
world = None
chance = random.Random(os.environ.get("SEED", "1"))


@schemathesis.auth(refresh_interval=None)
class Ada:
    """Almost everything is asked by Ada."""

    def get(self, case, context):
        global world
        if next(calls) % CALLS_IN_A_WORLD == 0:
            world = World()
        return world.ada.token

    def set(self, case, token, context):
        if chance.random() < 0.95:
            case.headers = {**(case.headers or {}), "Authorization": f"Bearer {token}"}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Most of the time, what is asked about is there."""
    if world is None:
        return
    for name in case.path_parameters or {}:
        if chance.random() < 0.7:
            case.path_parameters[name] = world.named(name, case.method, case.path)
    if isinstance(case.body, dict) and chance.random() < 0.7:
        for name in {"contactId", "userId"} & case.body.keys():
            case.body[name] = world.carl.id
        if "participantIds" in case.body:
            case.body["participantIds"] = [world.carl.id]
