module culvert.example/wan

go 1.26
