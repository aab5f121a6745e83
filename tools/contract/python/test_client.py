"""The contract through python-socketio, which shares no code with the official client.

Plain asserts, no test framework: `REPLICAS=… python test_client.py`. Exits with 1 when something is not as promised.
"""

import os
import sys
import threading
import time
import traceback
import uuid

import requests
import socketio

REPLICAS = os.environ.get("REPLICAS", "http://127.0.0.1:3001,http://127.0.0.1:3002").split(",")
PATIENCE = 8.0
PASSWORD = "Wonderland1"


class Person:
    """Somebody with an account, a session and any number of sockets."""

    def __init__(self, replica):
        self.base = REPLICAS[replica % len(REPLICAS)]
        self.http = requests.Session()
        name = f"t_{uuid.uuid4().hex[:12]}"
        body = {"username": name, "password": PASSWORD, "passwordConfirm": PASSWORD}
        answer = self.post("/auth/register", body, 201)
        self.token, self.id, self.name = answer["accessToken"], answer["user"]["id"], name
        self.http.headers["authorization"] = f"Bearer {self.token}"
        self.ears = []

    def post(self, path, body, expect):
        return self.ask("POST", path, body, expect).json()

    def ask(self, method, path, body, expect):
        answer = self.http.request(method, f"{self.base}/api{path}", json=body, timeout=30)
        assert answer.status_code == expect, f"{method} {path}: expected {expect}, got {answer.status_code} {answer.text[:300]}"
        return answer

    def listen(self, replica, transports):
        ear = Ear(REPLICAS[replica % len(REPLICAS)], {"token": self.token}, transports)
        self.ears.append(ear)
        return ear

    def close(self):
        for ear in self.ears:
            ear.close()


class Refused(Exception):
    """The server's words are its arguments."""


class Ear:
    """One socket, and everything that it was told."""

    def __init__(self, base, auth, transports):
        self.heard = []
        self.refusals = []
        self.disconnects = 0
        self.lock = threading.Lock()
        self.socket = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        self.socket.on("*", self.hear)
        self.socket.on("disconnect", self.count_disconnect)
        self.socket.on("connect_error", lambda error: self.refusals.append(error["message"]))
        try:
            self.socket.connect(base, auth=auth, transports=transports, wait_timeout=PATIENCE)
        except socketio.exceptions.ConnectionError as error:
            # The exception itself does not say what the server said.
            raise Refused(*self.refusals) from error

    def hear(self, name, *bodies):
        with self.lock:
            self.heard.append((name, bodies[0] if bodies else None))

    def count_disconnect(self, *_reason):
        self.disconnects += 1

    def all(self, name, which=lambda body: True):
        with self.lock:
            return [body for heard, body in self.heard if heard == name and which(body)]

    def hears(self, name, which=lambda body: True, count=1):
        until(lambda: len(self.all(name, which)) >= count, lambda: f"{count} times {name}; heard {self.heard[-20:]}")
        return self.all(name, which)

    def ask(self, name, body):
        return self.socket.call(name, body, timeout=PATIENCE)

    def close(self):
        self.socket.disconnect()


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"within {PATIENCE} s: {what()}"
        time.sleep(0.01)


def refusal(base, auth, transports):
    try:
        Ear(base, auth, transports).close()
    except Refused as refused:
        return str(refused)
    return "it was connected"


def refusals_have_their_texts():
    ann = Person(0)
    for transports in (["polling"], ["websocket"]):
        for base in REPLICAS:
            cases = [({}, "Authentication token required"), ({"token": "nonsense"}, "Authentication failed")]
            for auth, text in cases:
                said = refusal(base, auth, transports)
                assert said == text, f"{transports} {auth}: expected {text!r}, got {said!r}"
    ann.ask("POST", "/auth/logout", None, 204)
    until(
        lambda: refusal(ann.base, {"token": ann.token}, ["websocket"]) == "Invalid or expired session",
        lambda: "the token of an ended session should be refused with 'Invalid or expired session'",
    )


def messages_go_both_ways(transports):
    ann, ben = Person(0), Person(1)
    try:
        chat = ann.post("/chats/group", {"name": "Pythons", "participantIds": [ben.id]}, 201)["id"]
        mine, theirs = ann.listen(0, transports), ben.listen(1, transports)
        told = mine.hears("connection:success")[0]
        assert told["userId"] == ann.id, told

        metadata = {"sentAt": 1763683200123, "nested": {"z": [1, None, 2.5], "a": "ř"}}
        ack = mine.ask("message:send", {"chatId": chat, "content": "Hello", "metadata": metadata})
        assert ack["success"] is True and ack["chatId"] == chat, ack
        heard = theirs.hears("message:new", lambda one: one["id"] == ack["messageId"])
        assert heard[0] == ack["message"], f"told {heard[0]}, acknowledged {ack['message']}"
        assert heard[0]["metadata"] == metadata, heard[0]["metadata"]
        assert mine.hears("message:sent")[0]["messageId"] == ack["messageId"]

        said = ben.post(f"/chats/{chat}/messages", {"content": "Hello yourself", "contentType": "text", "metadata": {}}, 201)
        mine.hears("message:new", lambda one: one["id"] == said["id"])
        theirs.hears("message:new", lambda one: one["id"] == said["id"])

        theirs.socket.emit("message:mark-read", {"messageId": ack["messageId"]})
        read = mine.hears("message:read")[0]
        assert (read["messageId"], read["readBy"], read["readCount"]) == (ack["messageId"], ben.id, {"total": 1, "read": 1}), read

        refused = mine.ask("message:send", {"chatId": chat, "content": ""})
        assert (refused["success"], refused["code"]) == (False, "VALIDATION_ERROR"), refused
        assert mine.hears("message:error")[0]["chatId"] == chat
        mine.socket.emit("message:send", b"\x00\xff")
        mine.socket.emit("message:mark-read", [None, b"\x00"])
        again = mine.ask("message:send", {"chatId": chat, "content": "still fine"})
        assert again["success"] is True, again

        until(lambda: len(theirs.all("message:new", lambda one: one["content"] == "still fine")) == 1, lambda: "the last message")
        texts = [one["content"] for one in theirs.all("message:new", lambda one: one["contentType"] != "system")]
        assert texts == ["Hello", "Hello yourself", "still fine"], texts
    finally:
        ann.close()
        ben.close()


def polling_becomes_a_websocket():
    ann, ben = Person(0), Person(1)
    try:
        chat = ann.post("/chats/group", {"name": "Pythons", "participantIds": [ben.id]}, 201)["id"]
        ear = ben.listen(0, ["polling", "websocket"])
        until(lambda: ear.socket.transport() == "websocket", lambda: f"an upgrade; it is on {ear.socket.transport()}")
        said = ann.post(f"/chats/{chat}/messages", {"content": "up"}, 201)
        ear.hears("message:new", lambda one: one["id"] == said["id"])
    finally:
        ann.close()
        ben.close()


def the_network_comes_back():
    ann, ben = Person(0), Person(1)
    try:
        chat = ann.post("/chats/group", {"name": "Pythons", "participantIds": [ben.id]}, 201)["id"]
        ear = ben.listen(1, ["websocket"])
        ear.hears("connection:success")
        ear.socket.eio.ws.close()
        until(lambda: ear.disconnects == 1, lambda: "the client should have noticed that its line was cut")
        for number in range(5):
            ann.post(f"/chats/{chat}/messages", {"content": f"number {number}"}, 201)
            time.sleep(0.12)
        ear.hears("connection:success", count=2)
        ear.hears("message:new", lambda one: one["content"] == "number 4")
        texts = [one["content"] for one in ear.all("message:new", lambda one: one["contentType"] != "system")]
        assert texts == [f"number {number}" for number in range(5)], texts
    finally:
        ann.close()
        ben.close()


def logging_out_closes_sockets():
    ann = Person(0)
    ears = [ann.listen(0, ["websocket"]), ann.listen(1, ["polling"])]
    ann.ask("POST", "/auth/logout", None, 204)
    for ear in ears:
        until(lambda: not ear.socket.connected, lambda: "the sockets of an ended session should be closed")
    ann.close()


TESTS = {
    "refusals have their texts": refusals_have_their_texts,
    "messages go both ways by polling": lambda: messages_go_both_ways(["polling"]),
    "messages go both ways by WebSocket": lambda: messages_go_both_ways(["websocket"]),
    "polling becomes a WebSocket": polling_becomes_a_websocket,
    "after the network was gone, what was missed comes in order": the_network_comes_back,
    "logging out closes sockets": logging_out_closes_sockets,
}


def main():
    failed = 0
    for name, test in TESTS.items():
        try:
            test()
            print(f"ok   {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
    print(f"python-socketio: {len(TESTS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
