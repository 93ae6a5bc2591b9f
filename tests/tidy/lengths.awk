# Files of at most 500 lines, functions of at most 70, lines of at most 100 columns (UTF-8 counts characters).
FNR == 1 { if (last && lines > 500) { printf "%s: %d lines, more than 500\n", last, lines; bad = 1 } last = FILENAME }
{ lines = FNR; text = $0; gsub(/[\x80-\xbf]/, "", text)
  if (length(text) > 100) { printf "%s:%d: %d columns, more than 100\n", FILENAME, FNR, length(text); bad = 1 } }
/^\{/ { begun = FNR }
/^\}/ { if (begun && FNR - begun - 1 > 70) { printf "%s:%d: a function of %d lines, more than 70\n", FILENAME, begun, FNR - begun - 1; bad = 1 } begun = 0 }
END { if (lines > 500) { printf "%s: %d lines, more than 500\n", last, lines; bad = 1 } exit bad }
