package block

// AppendEvents appends the encoding of event codes.
func AppendEvents(dst []byte, events []uint16) []byte {
	s := getScratch()
	defer putScratch(s)
	vals := s.numbers(len(events))
	for i, e := range events {
		vals[i] = uint64(e)
	}
	return appendPlanes(dst, vals)
}

// ReadEvents reads what AppendEvents made of n codes, all below names.
func ReadEvents(b []byte, n, names int) ([]uint16, error) {
	if n < 0 || n > MaxRows {
		return nil, damaged("too many rows")
	}
	r := &reader{b: b}
	s := getScratch()
	defer putScratch(s)
	planes, w := r.planes(n, s)
	if w > 2 {
		r.fail("event codes are too large")
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	out := make([]uint16, n)
	top := uint16(0)
	switch w {
	case 1:
		for i, c := range planes[0] {
			out[i] = uint16(c)
			top = max(top, uint16(c))
		}
	case 2:
		p0, p1 := planes[0][:n], planes[1][:n]
		for i := range out {
			out[i] = uint16(p0[i]) | uint16(p1[i])<<8
			top = max(top, out[i])
		}
	}
	if n > 0 && int(top) >= names {
		return nil, damaged("an event code is out of range")
	}
	return out, nil
}

// AppendTies appends the encoding of ties.
func AppendTies(dst []byte, ties []uint32) []byte {
	s := getScratch()
	defer putScratch(s)
	vals := s.numbers(len(ties))
	for i, t := range ties {
		vals[i] = uint64(t)
	}
	return appendPlanes(dst, vals)
}

// ReadTies reads what AppendTies made of n ties.
func ReadTies(b []byte, n int) ([]uint32, error) {
	if n < 0 || n > MaxRows {
		return nil, damaged("too many rows")
	}
	r := &reader{b: b}
	s := getScratch()
	defer putScratch(s)
	planes, w := r.planes(n, s)
	if w > 4 {
		r.fail("ties are too large")
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	out := make([]uint32, n)
	joined(&planes, w, out)
	return out, nil
}
