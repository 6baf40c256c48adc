#!/bin/sh
# Every verb of the control API, by curl, one after the other on a session of its own:
#
#     assets/examples/verbs.sh speech.wav [http://127.0.0.1:8080] [TOKEN]
set -eu
sound=$1 at=${2:-http://127.0.0.1:8080} token=${3:-}
files=$(mktemp -d)
trap 'rm -r "$files"' EXIT

ask() {
    printf '\n%s\n' "$*"
    curl -sS --fail-with-body ${token:+-H "Authorization: Bearer $token"} "$@"
}

# A session, and how it is.
ask --json '{"id":"example","avatar":"leo","idle_timeout_s":60}' "$at/v1/sessions"
ask "$at/v1/sessions"
ask -X PATCH --json '{"bitrate_kbps":800}' "$at/v1/sessions/example"

# It speaks a file, a second later a text instead, and is interrupted.
ask --data-binary "@$sound" -H 'Content-Type: audio/wav' "$at/v1/sessions/example/speech"
sleep 1
ask --json '{"text":"Hello there. How are you?"}' "$at/v1/sessions/example/speech?interrupt=true"
ask -X POST "$at/v1/sessions/example/interrupt"

# It nods, and rests again.
ask --json '{"clip":"nod","when":"now","loops":2}' "$at/v1/sessions/example/action"
ask --json '{"clip":"idle"}' "$at/v1/sessions/example/action"

# What happened, from the first event on: it goes on until the time is up.
ask -N --max-time 2 -H 'Last-Event-ID: 0' "$at/v1/sessions/example/events" || true

# A picture of it, and a recording, which is listed, downloaded and deleted.
ask -X POST -o "$files/example.jpg" "$at/v1/sessions/example/snapshot"
recording=$(ask --json '{"action":"start"}' "$at/v1/sessions/example/recording" | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
sleep 3
ask --json '{"action":"stop"}' "$at/v1/sessions/example/recording"
ask "$at/v1/recordings"
ask -o "$files/example.mp4" "$at/v1/recordings/$recording"
ask -X DELETE "$at/v1/recordings/$recording"

# What lies on the server. An import: -F id=me -F file=@me.mp4 to /v1/avatars, then GET /v1/jobs/ID until it is done.
ask "$at/v1/avatars"
ask "$at/v1/avatars/leo"
ask -o "$files/leo.jpg" "$at/v1/avatars/leo/poster"
ask "$at/v1/models"
ask "$at/v1/jobs"

# How the server is, and its memory back.
ask "$at/v1/status"
ask "$at/v1/memory"
ask --json '{"level":"light"}' "$at/v1/memory/reclaim"
ask -o "$files/metrics" "$at/metrics"
ask "$at/healthz"
ask "$at/readyz"

ask -X DELETE "$at/v1/sessions/example"
