package query

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// agree says whether two numbers agree to so many decimal places.
func agree(a, b float64, places int) bool {
	return a == b || math.Abs(a-b) <= 0.5000001*math.Pow10(-places)
}

// TestPublishedShares compares with what papers and R print.
func TestPublishedShares(t *testing.T) {
	// Newcombe 1998, table II, method 10.
	for _, c := range []struct{ x1, n1, x2, n2, low, high float64 }{
		{56, 70, 48, 80, 0.0524, 0.3339}, {9, 10, 3, 10, 0.1705, 0.8090}, {6, 7, 2, 7, 0.0582, 0.8062}, {5, 56, 0, 29, -0.0381, 0.1926},
		{0, 10, 0, 20, -0.1611, 0.2775}, {0, 10, 0, 10, -0.2775, 0.2775}, {10, 10, 0, 20, 0.6791, 1}, {10, 10, 0, 10, 0.6075, 1},
	} {
		if e := (shares{c.x1, c.n1, c.x2, c.n2}).difference(); !agree(e.low, c.low, 4) || !agree(e.high, c.high, 4) {
			t.Errorf("%+v: %+v", c, e)
		}
	}
	// Koopman 1984, as in R's DescTools::BinomRatioCI(36, 40, 16, 80, method = "koopman").
	if e := (shares{36, 40, 16, 80}).ratio(); !agree(e.low, 2.94, 2) || !agree(e.high, 7.15, 2) {
		t.Errorf("Koopman: %+v", e)
	}
	for _, c := range []struct {
		s    shares
		p    float64
		test string
	}{
		{shares{3, 4, 1, 4}, 34.0 / 70, testFisher}, // the lady tasting tea
		{shares{15, 50, 25, 50}, 0.04122683334, testScore},
		{shares{0, 5, 0, 7}, 1, testFisher}, {shares{5, 5, 7, 7}, 1, testFisher}, {shares{1, 1, 0, 1}, 1, testFisher},
		{shares{500, 1000, 500, 1000}, 1, testScore},
	} {
		if p, test := c.s.p(); math.Abs(p-c.p) > 1e-9 || test != c.test {
			t.Errorf("%+v: %v by %s", c.s, p, test)
		}
	}
	if p := (shares{10, 13, 2, 17}).fisher(); !agree(p, 0.0005367241, 10) { // criminal twins, as ?fisher.test in R
		t.Errorf("Fisher's twins: %v", p)
	}
	for _, c := range []struct {
		s         shares
		low, high float64
	}{
		{shares{0, 10, 0, 20}, 0, math.Inf(1)}, {shares{3, 10, 0, 20}, 1.7, math.Inf(1)}, {shares{0, 10, 10, 20}, 0, 0.6}, {shares{10, 10, 20, 20}, 0.722, 1.19},
	} {
		if e := c.s.ratio(); math.IsNaN(e.low) || e.low < c.low-0.1 || e.low > c.low+0.1 || !(e.high == c.high || math.Abs(e.high-c.high) < 0.1) {
			t.Errorf("%+v: %+v", c.s, e)
		}
	}
}

// TestPublishedStudent compares with tables, and with the closed forms that
// there are for one and two degrees of freedom.
func TestPublishedStudent(t *testing.T) {
	for freedom, want := range map[float64]float64{
		1: 12.7062047362, 2: 4.30265272991, 5: 2.57058183564, 10: 2.22813885196, 30: 2.04227245630, 120: 1.97993040505, 1e12: 1.95996398454,
	} {
		if q := studentQuantile(freedom); math.Abs(q-want) > 1e-10*want {
			t.Errorf("%v degrees of freedom: %.12f, want %.12f", freedom, q, want)
		}
	}
	for _, x := range []float64{1e-9, 0.3, 1, 2.5, 40, 1e6} {
		if p, want := studentTails(x, 1), 2/math.Pi*math.Atan2(1, x); math.Abs(p-want) > 1e-13*want {
			t.Errorf("%v, 1 degree of freedom: %v, want %v", x, p, want)
		}
		if p, want := studentTails(x, 2), 2/(math.Sqrt(2+x*x)*(x+math.Sqrt(2+x*x))); math.Abs(p-want) > 1e-9*want {
			t.Errorf("%v, 2 degrees of freedom: %v, want %v", x, p, want)
		}
	}
	for _, x := range []float64{0.1, 1, 1.96, 5} {
		if p, want := studentTails(x, 1e13), math.Erfc(x/math.Sqrt2); math.Abs(p-want) > 1e-8*want {
			t.Errorf("%v, many degrees of freedom: %v, want %v", x, p, want)
		}
	}
	for _, x := range []float64{0.1, 1, 1.9, 3, 6} { // both ways agree where they meet
		if few, many := studentTails(x, manyFreedom), studentTails(x, math.Nextafter(manyFreedom, 1e6)); math.Abs(few-many) > 1e-8*few {
			t.Errorf("%v: %v with some degrees of freedom, %v with many", x, few, many)
		}
	}
	if studentTails(0, 3) != 1 || studentTails(math.MaxFloat64, 3) != 0 {
		t.Error("the ends")
	}
	for _, a := range []float64{99.9999999, 100, 100.5} { // both ways agree where they meet
		high, _ := math.Lgamma(a + 0.5)
		low, _ := math.Lgamma(a)
		if got, want := gammaRatio(a), math.Exp(high-low); math.Abs(got-want) > 1e-12*want {
			t.Errorf("Γ(%v + ½) / Γ(%v): %v, want %v", a, a, got, want)
		}
	}
}

func meansOf(one, two []float64) means {
	of := func(values []float64) (n, sum, squares float64) {
		a := &arm{people: int64(len(values)) + 3}
		for _, v := range values { // those with nothing count too, but are not kept
			if v != 0 {
				a.amounts = append(a.amounts, v)
			}
		}
		a.people -= 3
		sum, squares = a.sums()
		return float64(a.people), sum, squares
	}
	var m means
	m.n1, m.sum1, m.squares1 = of(one)
	m.n2, m.sum2, m.squares2 = of(two)
	return m
}

// TestPublishedWelch is Student's sleep data, as R's t.test prints them.
func TestPublishedWelch(t *testing.T) {
	w, ok := meansOf([]float64{0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0, 2}, []float64{1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4}).welch()
	d := w.difference()
	if !ok || !agree(w.freedom, 17.776, 3) || !agree(w.p(), 0.07939, 5) || !agree(d.low, -3.3654832, 7) || !agree(d.high, 0.2054832, 7) {
		t.Errorf("%+v, p %v, %+v", w, w.p(), d)
	}
	for _, m := range []means{meansOf([]float64{1}, []float64{1, 2}), meansOf([]float64{1, 1}, []float64{2, 2}), meansOf(nil, nil), meansOf([]float64{1e300, 2}, []float64{1, 2})} {
		if w, ok := m.welch(); ok {
			t.Errorf("%+v: %+v", m, w)
		}
	}
}

// TestIntervalsAgreeWithTests: an interval of lift holds 0 exactly where the
// test finds nothing, what was seen lies in its interval, and groups turned
// round say the same.
func TestIntervalsAgreeWithTests(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n1, n2 := rapid.IntRange(1, 3000).Draw(t, "n1"), rapid.IntRange(1, 3000).Draw(t, "n2")
		x1, x2 := rapid.IntRange(0, n1).Draw(t, "x1"), rapid.IntRange(0, n2).Draw(t, "x2")
		s := shares{float64(x1), float64(n1), float64(x2), float64(n2)}
		r, d := s.ratio(), s.difference()
		turned := shares{s.x2, s.n2, s.x1, s.n1}
		p, test := s.p()
		if q, _ := turned.p(); math.Abs(p-q) > 1e-9 || p < 0 || p > 1 {
			t.Fatalf("%+v: p %v, turned round %v", s, p, q)
		}
		if test == testScore && (r.low > 1 || r.high < 1) != (p < 0.05) && math.Abs(p-0.05) > 1e-9 {
			t.Fatalf("%+v: p %v, ratio %+v", s, p, r)
		}
		if d.low > d.high || d.low < -1-1e-12 || d.high > 1+1e-12 || s.x1/s.n1-s.x2/s.n2 < d.low-1e-12 || s.x1/s.n1-s.x2/s.n2 > d.high+1e-12 {
			t.Fatalf("%+v: difference %+v", s, d)
		}
		if x2 > 0 {
			seen := s.x1 / s.n1 / (s.x2 / s.n2)
			if seen < r.low*(1-1e-9) || seen > r.high*(1+1e-9) {
				t.Fatalf("%+v: ratio %v is not within %+v", s, seen, r)
			}
		}
		if back := turned.ratio(); math.Abs(1/back.high-r.low) > 1e-6*r.low+1e-12 {
			t.Fatalf("%+v: ratio %+v, turned round %+v", s, r, back)
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		amounts := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(-2, 30).Draw(t, "cents")) / 4 }), 2, 40)
		w, ok := meansOf(amounts.Draw(t, "one"), amounts.Draw(t, "two")).welch()
		if !ok {
			return
		}
		p := w.p()
		if d := w.difference(); (d.low > 0 || d.high < 0) != (p < 0.05) && math.Abs(p-0.05) > 1e-9 {
			t.Fatalf("%+v: p %v, difference %+v", w, p, d)
		}
		r, bounded := w.ratio()
		if !bounded {
			return
		}
		if (r.low > 1 || r.high < 1) != (p < 0.05) && math.Abs(p-0.05) > 1e-9 {
			t.Fatalf("%+v: p %v, ratio %+v", w, p, r)
		}
		for _, end := range []float64{r.low, r.high} {
			if off := math.Abs(w.m1-end*w.m2) / math.Sqrt(w.v1+end*end*w.v2); math.Abs(off-w.t95) > 1e-6*w.t95 {
				t.Fatalf("%+v: at %v it is %v away, not %v", w, end, off, w.t95)
			}
		}
	})
}
