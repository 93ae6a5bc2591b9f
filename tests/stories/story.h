/* Stories: what the scheduler does, told line by line. A story is one text; lines that begin with
 * "> " are what it answers, the others are what happens. The text is played, the answers are
 * written down anew, and the two texts must be equal. sched_check() recounts after every event.
 *
 *   # A chain runs one after the other.             a remark
 *   given the state answers at once                 settings, before they matter
 *   submit run 1: prepare -> train -> report
 *   w1 joins: slots=2
 *   > assign prepare#1 to w1                        task#attempt
 *   w1 finishes prepare#1
 *   > assign train#1 to w1
 *
 * SETTINGS   given the state answers at once        commits, look-ups (nothing found) and checks
 *                                                   (all there) come unseen
 *            given changes are shown | given wakes are shown | given leases of 1000 ms
 *            given no work before 3 workers
 *            given prepare is known                 it has a record, from an earlier run
 *            given prepare makes 5000000            bytes of output; else 100
 *            given train is forced | given targets are a, b
 *            given train has retry=1 backoff=100 priority=5 kind=gpu@1 label=zone:a cpu=400
 *                            memory=9 poison=2 takes=gpu:2      in one line
 * RUNS       submit run 1: a + b -> c -> d, a -> e  c needs a and b; d needs c; e needs a
 *            cancel run 1 | kill run 1 | forget run 1
 * WORKERS    w1 joins: slots=2 kinds=gpu@1 labels=zone:a cpu=400 memory=9 has=gpu:2,licence:1
 *                      credit=8 running=a#1,b#2 name=big      in one line
 *            w1 joins again: …                      the same program, a new connection
 *            w2 joins as w1: …                      likewise, before w1 was seen to go
 *            w1 finishes a#1 in 20 ms               else it took a second
 *            w1 starts a#1 | w1 finishes a#1 | w1 finishes a#1 differently | w1 fails a#1: exit
 *            w1 misses a for b#1 | w1 hands back a#1 | w1 is at 3 of 10 in a#1
 *            w1 goes away | w1 says goodbye | w1 is heard | w1 holds a#1
 * STATE      the commit is durable | look-up of a: found | look-up of a: new
 *            check of run 1: all there | check of run 1: a is missing
 * TIME       time is 5000                           milliseconds; a TICK
 * QUESTIONS  why a?                                 sched_explain()
 *            count run 1                            sched_run_info()
 *            load                                   sched_load() */
// SPDX-License-Identifier: Apache-2.0
#pragma once

/* Fails the test, showing the story as it really went, when it differs. */
void story_play(const char *text);
