# What failed in a run of tap whose output is read: each assertion with the tests it is in and the start of its diagnosis. The line
# that closes a failed test (it ends in its time) is left out where something in it was shown.
/^ *# Subtest: / {
  depth = match($0, /#/) - 1
  name[depth] = substr($0, depth + 12)
  told[depth] = 0
  left = 0
  next
}
/^ *not ok / {
  indent = match($0, /not/) - 1
  left = 0
  if ($0 ~ /# time=[0-9.]*ms$/ && told[indent]) next
  where = ""
  for (outer = 0; outer < indent; outer += 4) {
    where = where name[outer] " > "
    told[outer] = 1
  }
  print where substr($0, indent + 1)
  left = 36
  next
}
left > 0 {
  print substr($0, 1, 160)
  left = /^ *\.\.\.$/ ? 0 : left - 1
}
