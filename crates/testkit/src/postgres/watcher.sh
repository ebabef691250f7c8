#!/bin/sh
# Ends what a test run leaves behind. Of a run's directory it is told ($1), it ends the private clusters whose
# test is gone, and everything when no test uses it any more. Locks tell both: the system lets go of them however
# a process ends.
base=$1
exec 7>"$base.watch"
flock -n 7 || exit 0

# Ends all that works in a directory, and the directory.
end() {
  [ -d "$1" ] || return 0
  working=""
  for process in /proc/[0-9]*; do
    case "$(readlink "$process/cwd")" in "$1" | "$1"/*) working="$working ${process#/proc/}" ;; esac
  done
  if [ -n "$working" ]; then
    kill -CONT $working
    for file in "$1"/postmaster.pid "$1"/*/postmaster.pid "$1"/*/*/postmaster.pid; do
      [ -f "$file" ] || continue
      # An immediate shutdown, since it leaves no shared memory behind.
      case "$working " in *" $(head -n 1 "$file") "*) kill -QUIT "$(head -n 1 "$file")" ;; *) continue ;; esac
      tries=50
      while [ -f "$file" ] && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
    done
    kill -KILL $working
  fi
  for disk in "$1"/disk-*; do
    [ -d "$disk" ] && umount "$disk"
  done
  for data in "$1"/data "$1"/*/data; do
    [ -L "$data" ] && end "$(readlink -f "$data")"
  done
  tries=50
  until rm -rf "$1" || [ $((tries -= 1)) -eq 0 ]; do sleep 0.1; done
}

while sleep 2; do
  for owner in "$base"/private-*/owner; do
    [ -f "$owner" ] && (flock -n 9 && end "${owner%/owner}") 9<"$owner"
  done
  exec 8>"$base.start"
  flock 8
  exec 9>"$base.users"
  if flock -n 9; then
    end "$base"
    exit 0
  fi
  exec 9>&- 8>&-
done
