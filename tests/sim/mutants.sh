#!/bin/bash
# Does the simulator find bugs? Each line below breaks one rule of the scheduler or the agent, in a copy of the tree; the
# simulator must notice. Run by `make mutants`. Fails if one survives, or if a line does not apply any more.
#
#   FILE | PERL SUBSTITUTION over the whole file | what it breaks
set -u
cd "$(dirname "$0")/../.." || exit 2
seeds=${SEEDS:-6000}
only=${1:-} # a part of the last column: these alone

mutations() {
    cat <<'END'
broker/sched/peers.c|s/(bool peers_hear.*?)renew_lease\(sched, worker\);/$1/s|a lease is not renewed by what is heard
broker/sched/flight.c|s/return flight->worker == worker && flight->attempt == attempt/return flight->worker == worker && attempt < UINT32_MAX/|an attempt's number is not compared
broker/sched/flight.c|s/return flight->worker == worker && flight->attempt == attempt/return worker < UINT32_MAX && flight->attempt == attempt/|the worker of an attempt is not compared
broker/sched/result.c|s/(\.index = event->done\.index\}\);\n)(\}\n\nvoid result_failed)/$1    result_committed(sched);\n$2/|what waits for a result is sent before the commit
broker/sched/result.c|s/(static void begin_commit.*?action->is_replacement[^\n]*\n)/$1    acknowledge(sched, index, commit.worker, commit.frame, commit.index);\n/s; s/(if \(commit\.type == COMMIT_RESULT\) \{\n)\s*acknowledge\([^;]*;/$1/s|a result is acknowledged before the commit
broker/sched/result.c|s/if \(task && task->stage == STAGE_COMMITTING\)/if (task && false)/|a result's copy is acknowledged before the commit
broker/sched/result.c|s/(acknowledge\(sched, commit\.task, commit\.worker, commit\.frame, commit\.index\);\n\s*)count_acknowledged\(sched, &commit\);/$1(void)count_acknowledged;/s|credit is not given back
broker/sched/result.c|s/!note_find_past\(sched, task, index, attempt, [^)]*\)\)/true)/|a success of a past attempt is not accepted
broker/sched/result.c|s/if \(!event->resolved\.is_found \|\|/if (event->now \|\|/|an early cutoff is not taken
broker/sched/look.c|s/(sched->artifacts\.items\[producer->outputs) \+ output\]/$1]/|what is foreseen has other inputs
broker/sched/submit.c|s/if \(known\) \{/if (known && false) {/|a record that is known is not heeded
broker/sched/lost.c|s/task_invalidate\(sched, producer\);/(void)task_invalidate;/|a lost input is not made again
broker/sched/retry.c|s/note_kills\(sched, note\) < poison_kills\(sched, task\)/note_kills(sched, note) < 100 * poison_kills(sched, task)/|poison is not counted
broker/sched/retry.c|s/if \(!delay\) \{/if (delay < UINT32_MAX) {/|a backoff is not waited for
broker/sched/retry.c|s/if \(!status_is_retryable\(failure->code\) \|\| /if (/|what no retry mends is retried
broker/sched/retry.c|s/if \(failure->was_killed \|\| failure->code == E_CANCELLED\)/if (failure->was_killed)/|what ended at our wish counts as a failure
broker/sched/run.c|s/(static bool leave_to_others.*?)share_rehome\(sched, index\);/$1/s|a cancellation disturbs the other run
broker/sched/run.c|s/if \(count && !run->is_cancelled && make_missing/if (count > 1000 && make_missing/|a run is over though outputs are missing
broker/sched/room.c|s/worker->unacked (<|>=) worker->credit/worker->unacked $1 2 * worker->credit/g|credit is not kept
broker/sched/dispatch.c|s/if \(x->priority != y->priority\)\n\s*return x->priority > y->priority;//s|priority is ignored
broker/sched/match.c|s/if \(!has_label\(/if (has_label(/; s/if \(has_label\((.*?)\)\)\n\s*return false;/has_label($1);/s|labels are ignored
broker/sched/match.c|s/!has_text\(offer->kinds, offer->kind_count, policy->kind_version\)/false/; s/static bool has_text/__attribute__((unused)) static bool has_text/|kind versions are ignored
broker/sched/peers.c|s/lose_flights\(sched, index, !event->gone\.is_drain,/lose_flights(sched, index, true,/|a goodbye counts as a crash
broker/sched/peers.c|s/<= UNNAMED_LISTS\)/<= 1000000 + UNNAMED_LISTS)/|what a worker does not know of is not given again
broker/sched/peers.c|s/<= UNNAMED_LISTS\)/< UNNAMED_LISTS - 2)/|what one list leaves out is given again
broker/sched/peers.c|s/bool is_over = is_open && attempt->number == task->attempt &&/bool is_over = is_open \&\& task->attempt > 60000 \&\&/|a failed attempt that is listed is adopted
broker/sched/peers.c|s/(void peers_revoked.*?)    task_settle\(sched, task\);/$1/s|what was given back is not given out again
broker/sched/task.c|s/(void task_take_back.*?)consumer->pending\+\+;/$1consumer->pending += 0;/s|a task does not wait for what is made again
broker/sched/rest.c|s/if \(!rest_is_due\(code\) \|\|/if (code != OK ||/|a full disk gives its worker no rest
broker/sched/rest.c|s/ask_back\(sched, worker\);/(void)ask_back;/|a full disk keeps what waits for it
broker/sched/rest.c|s/worker->is_resting = false;//|a full disk is never tried again
broker/sched/room.c|s/rest_is_kept\(worker\) \|\|/worker->is_resting ||/|a full disk is tried with all at once
broker/sched/retry.c|s/return failure->was_trial && /return false && failure->was_trial && /|a full disk that is known costs a retry each time
worker/runtime/agent.c|s/agent_add\(out, AGENT_RESEND\);//|a result is not sent again
worker/runtime/agent.c|s/agent->jobs\[job\]\.state <= JOB_READY\)/agent->jobs[job].state <= JOB_RUNNING)/|what runs is given back
worker/runtime/agent_tick.c|s/if \(!agent->is_online \|\| now < agent->heartbeat_at\)/if (now < MS_NEVER)/|the agent does not renew its lease
worker/runtime/agent_tick.c|s/agent_kill_slot\(agent, i, KILL_TIMEOUT, out\);/(void)out;/|a timeout is not enforced
worker/runtime/agent_tick.c|s/if \(agent->is_linked\)\n\s*agent_add\(out, AGENT_SEND_GOODBYE\);//s|a drained worker leaves without a word
END
}

copy=$(mktemp -d) || exit 2
trap 'rm -rf "$copy"' EXIT
git ls-files -co --exclude-standard | grep -v '^build/' | tar cf - -T - | tar xf - -C "$copy" || exit 2
cd "$copy" || exit 2
mkdir -p build && touch build/.setup-build build/.setup-test
B=$copy/build/mutants
build() { ${MAKE:-make} -s B="$B" "$B/tests/sim/sim" >"$copy/build.log" 2>&1; }
build || { tail -5 "$copy/build.log"; echo "mutants: the tree itself does not build"; exit 2; }
"$B/tests/sim/sim" --seeds 500 --no-shrink >"$copy/run.log" || { cat "$copy/run.log"; echo "mutants: the tree itself fails"; exit 2; }

count=0 caught=0
while IFS='|' read -r -d $'\n' line; do
    file=${line%%|*} what=${line##*|}
    change=${line#*|} change=${change%|*}
    case $what in *"$only"*) ;; *) continue ;; esac
    count=$((count + 1))
    cp "$file" "$copy/original"
    perl -0pi -e "$change" "$file"
    if cmp -s "$file" "$copy/original"; then
        printf '%-55s DOES NOT APPLY to %s\n' "$what" "$file"
        continue
    fi
    if ! build; then
        printf '%-55s DOES NOT BUILD: %s\n' "$what" "$(grep -m1 error "$copy/build.log")"
    elif "$B/tests/sim/sim" --seeds "$seeds" --no-shrink >"$copy/run.log" 2>&1; then
        printf '%-55s SURVIVED %s\n' "$what" "$(tail -1 "$copy/run.log")"
    else
        caught=$((caught + 1))
        printf '%-55s %s\n' "$what" "$(grep -m1 -E 'FAILED' "$copy/run.log" | cut -c1-110)"
    fi
    cp "$copy/original" "$file"
done < <(mutations)
echo "mutants: $count, $caught caught"
test "$count" -gt 0 && test "$count" -eq "$caught"
