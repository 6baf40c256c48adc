#!/bin/sh
# Makes welcome.flac from welcome.txt, anew and the same every time.
# Wants Debian's festival, festvox-us-slt-hts and ffmpeg.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A sentence a line: each is spoken by itself, a breath apart, a little slower than the voice's own pace.
n=0
while IFS= read -r sentence; do
    n=$((n + 1))
    printf '%s\n' "$sentence" | text2wave -eval '(voice_cmu_us_slt_arctic_hts)' \
        -eval "(Parameter.set 'Duration_Stretch 1.04)" -o "$work/$n.wav"
    # Its own silence at both ends goes, and a breath of 0.35 s comes.
    ffmpeg -v error -y -i "$work/$n.wav" -af "silenceremove=start_periods=1:start_threshold=-45dB,\
areverse,silenceremove=start_periods=1:start_threshold=-45dB,areverse,\
afade=t=in:d=0.01,adelay=60,apad=pad_dur=0.35" "$work/cut$n.wav"
    printf "file 'cut%s.wav'\n" "$n" >> "$work/list"
done < welcome.txt

# Rumble and hiss go, the loudest sample comes to -3 dBFS, and 1.5 s of rest end the loop.
ffmpeg -v error -y -f concat -i "$work/list" -af "highpass=f=70,lowpass=f=12000,\
equalizer=f=3000:t=q:w=1:g=2,acompressor=threshold=-20dB:ratio=2:attack=5:release=120" \
    -ac 1 -ar 48000 -c:a pcm_f32le "$work/all.wav"
peak=$(ffmpeg -i "$work/all.wav" -af volumedetect -f null - 2>&1 | sed -n 's/.*max_volume: \(.*\) dB/\1/p')
gain=$(awk "BEGIN { print -3.0 - ($peak) }")
ffmpeg -v error -y -i "$work/all.wav" -af "volume=${gain}dB,apad=pad_dur=1.15" \
    -ac 1 -ar 48000 -sample_fmt s16 -compression_level 12 -fflags +bitexact -map_metadata -1 welcome.flac
ffprobe -v error -show_entries format=duration,size -of default=noprint_wrappers=1 welcome.flac
