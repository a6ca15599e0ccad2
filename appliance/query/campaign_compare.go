package query

import "math"

// What two groups are compared by. Every interval is of 95 %, every test has
// two sides.

// z95 is the standard normal distribution's quantile of 0.975.
const z95 = 1.959963984540054

// fewExpected is the count below which a cell of a table of two groups by two
// outcomes is too small for a normal distribution (Cochran, "Some methods for
// strengthening the common chi-square tests", Biometrics 10, 1954).
const fewExpected = 5

// Tests by name.
const (
	testScore  = "score"
	testFisher = "fisher"
	testWelch  = "welch"
)

// ends are those of an interval: ±Inf where there is none.
type ends struct{ low, high float64 }

// shares are two groups with the number of people of each who converted.
type shares struct{ x1, n1, x2, n2 float64 }

// p is the probability of shares that differ as much if both groups were alike:
// by the score test, which is that of two proportions with a common variance
// (Pearson's chi-squared without correction), or Fisher's exact test where few
// are expected in some cell. Both groups have people.
func (s shares) p() (p float64, test string) {
	k, n := s.x1+s.x2, s.n1+s.n2
	if min(s.n1, s.n2)*min(k, n-k)/n < fewExpected {
		return s.fisher(), testFisher
	}
	common := k / n
	z := (s.x1/s.n1 - s.x2/s.n2) / math.Sqrt(common*(1-common)*(1/s.n1+1/s.n2))
	return math.Erfc(math.Abs(z) / math.Sqrt2), testScore
}

// fisher is Fisher's exact test: the sum of the probabilities of all tables
// with the same sums that are at most as likely as this one. Tables as likely
// up to rounding count (as R's fisher.test has it, 1 part in 10^7).
func (s shares) fisher() float64 {
	k := s.x1 + s.x2
	low, high := max(0, k-s.n2), min(s.n1, k)
	// Weights relative to the likeliest table, from there outward.
	mode := min(max(math.Floor((s.n1+1)*(k+1)/(s.n1+s.n2+2)), low), high)
	up := func(x float64) float64 { return (s.n1 - x) * (k - x) / ((x + 1) * (s.n2 - k + x + 1)) }
	each := func(fn func(x, w float64)) {
		fn(mode, 1)
		for x, w := mode, 1.0; x < high; x++ {
			w *= up(x)
			fn(x+1, w)
		}
		for x, w := mode, 1.0; x > low; x-- {
			w /= up(x - 1)
			fn(x-1, w)
		}
	}
	own := 0.0
	each(func(x, w float64) {
		if x == s.x1 {
			own = w
		}
	})
	var all, extreme exactSum
	each(func(_, w float64) {
		all.add(w)
		if w <= own*(1+1e-7) {
			extreme.add(w)
		}
	})
	return min(1, extreme.value()/all.value())
}

// difference is the interval of the difference of the shares, from the score
// intervals of each (Wilson 1927), as Newcombe's method 10 joins them
// ("Interval estimation for the difference between independent proportions",
// Statistics in Medicine 17, 1998). Both groups have people.
func (s shares) difference() ends {
	p1, p2 := s.x1/s.n1, s.x2/s.n2
	l1, u1 := wilson(s.x1, s.n1)
	l2, u2 := wilson(s.x2, s.n2)
	d := p1 - p2
	return ends{d - math.Hypot(p1-l1, u2-p2), d + math.Hypot(u1-p1, p2-l2)}
}

func wilson(x, n float64) (low, high float64) {
	const z2 = z95 * z95
	middle := 2*x + z2
	half := z95 * math.Sqrt(z2+4*x*(n-x)/n)
	low, high = (middle-half)/(2*(n+z2)), (middle+half)/(2*(n+z2))
	if x == 0 {
		low = 0
	}
	if x == n {
		high = 1
	}
	return low, high
}

// ratio is the interval of the first share divided by the second: all ratios
// that the score test does not refuse (Koopman, "Confidence intervals for the
// ratio of two binomial proportions", Biometrics 40, 1984). It holds 1 exactly
// where that test's p is at least 0.05. Both groups have people.
func (s shares) ratio() ends {
	out := ends{0, math.Inf(1)}
	if s.x1 == 0 && s.x2 == 0 {
		return out
	}
	refused := func(logRatio float64) bool { return s.score(math.Exp(logRatio)) > z95*z95 }
	const far = 50 // e^50: no ratio of counts comes near
	seen := 0.0
	switch {
	case s.x1 == 0:
		seen = -far
	case s.x2 == 0:
		seen = far
	default:
		seen = math.Log(s.x1 / s.n1 / (s.x2 / s.n2))
	}
	if s.x1 > 0 {
		out.low = math.Exp(border(seen, -far, refused))
	}
	if s.x2 > 0 {
		out.high = math.Exp(border(seen, far, refused))
	}
	return out
}

// border is where, on the way from good to bad, refused begins.
func border(good, bad float64, refused func(float64) bool) float64 {
	for range 200 {
		middle := good + (bad-good)/2
		if middle == good || middle == bad {
			break
		}
		if refused(middle) {
			bad = middle
		} else {
			good = middle
		}
	}
	return good
}

// score is the chi-squared statistic of a ratio. The shares are the likeliest
// ones with that ratio: the root of a quadratic equation.
func (s shares) score(ratio float64) float64 {
	a := (s.n1 + s.n2) * ratio
	b := s.n1*ratio + s.x1 + s.n2 + s.x2*ratio
	c := s.x1 + s.x2
	p2 := 2 * c / (b + math.Sqrt(max(0, b*b-4*a*c)))
	p1 := min(ratio*p2, 1)
	variance := p1*(1-p1)/s.n1 + ratio*ratio*p2*(1-p2)/s.n2
	off := s.x1/s.n1 - ratio*s.x2/s.n2
	if off == 0 {
		return 0
	}
	return off * off / variance
}

// means are two groups with the sum of an amount over their people, and the sum
// of the squares of its differences from each group's mean.
type means struct{ n1, sum1, squares1, n2, sum2, squares2 float64 }

// welch is what the comparison of two means without a common variance needs.
type welch struct{ m1, m2, v1, v2, freedom, t95 float64 }

// welch prepares Welch's t test, with the degrees of freedom by Welch and
// Satterthwaite (Welch, "The generalization of Student's problem", Biometrika
// 34, 1947). It cannot be done with fewer than two people in a group, without
// any variance, or past what a float holds.
func (m means) welch() (w welch, ok bool) {
	w.m1, w.m2 = m.sum1/m.n1, m.sum2/m.n2
	if m.n1 < 2 || m.n2 < 2 {
		return w, false
	}
	w.v1, w.v2 = m.squares1/(m.n1-1)/m.n1, m.squares2/(m.n2-1)/m.n2
	all := w.v1 + w.v2
	if !(all > 0) || math.IsInf(all, 0) || math.IsNaN(w.m1-w.m2) {
		return w, false
	}
	a, b := w.v1/all, w.v2/all
	w.freedom = 1 / (a*a/(m.n1-1) + b*b/(m.n2-1))
	w.t95 = studentQuantile(w.freedom)
	return w, true
}

func (w welch) p() float64 {
	return studentTails(math.Abs(w.m1-w.m2)/math.Sqrt(w.v1+w.v2), w.freedom)
}

func (w welch) difference() ends {
	d, half := w.m1-w.m2, w.t95*math.Sqrt(w.v1+w.v2)
	return ends{d - half, d + half}
}

// ratio is the interval of the first mean divided by the second, by Fieller's
// theorem ("Some problems in interval estimation", J. R. Statist. Soc. B 16,
// 1954): all ratios r for which m1 - r m2 does not differ from 0. It holds 1
// exactly where Welch's p is at least 0.05. Not ok where it has no bounds,
// since m2 itself may be 0.
func (w welch) ratio() (ends, bool) {
	t2 := w.t95 * w.t95
	a := w.m2*w.m2 - t2*w.v2
	if !(a > 0) {
		return ends{}, false
	}
	middle := w.m1 * w.m2
	half := w.t95 * math.Sqrt(max(0, w.v1*a+w.v2*w.m1*w.m1))
	return ends{(middle - half) / a, (middle + half) / a}, !math.IsInf(middle, 0) && !math.IsInf(half, 0)
}

const manyFreedom = 1e5

// studentTails is the probability that Student's t, with so many degrees of
// freedom (1 or more), is t or more away from 0: the regularized incomplete
// beta function I(x; freedom/2, 1/2) of x = freedom/(freedom + t²) (NIST
// Digital Library of Mathematical Functions, 8.17). Of many degrees of freedom
// it is Fisher's expansion ("Expansion of 'Student's' integral in powers of
// n⁻¹", Metron 5, 1925), since the fraction would lose digits.
func studentTails(t, freedom float64) float64 {
	if t == 0 {
		return 1
	}
	a, t2 := freedom/2, t*t
	if math.IsInf(t2, 1) {
		return 0
	}
	if freedom > manyFreedom {
		b := 1 / freedom
		density := math.Exp(-t2/2) / math.Sqrt(2*math.Pi)
		more := t * b * ((t2+1)/4 + b*(((3*t2-7)*t2-5)*t2-3)/96)
		return max(0, math.Erfc(t/math.Sqrt2)+2*density*more)
	}
	x, rest := freedom/(freedom+t2), t2/(freedom+t2)
	power := math.Log(x)
	if x > 0.5 { // of a number near 1 by its distance from 1
		power = math.Log1p(-rest)
	}
	front := math.Exp(a*power+0.5*math.Log(rest)) * gammaRatio(a) / math.Sqrt(math.Pi)
	if x < (a+1)/(a+2.5) {
		return front * betaFraction(x, a, 0.5) / a
	}
	return 1 - front*betaFraction(rest, 0.5, a)/0.5
}

// gammaRatio is Γ(a + ½) / Γ(a). For large a the difference of two logarithms
// would lose digits: there it is the asymptotic series (DLMF 5.11.13).
func gammaRatio(a float64) float64 {
	if a < 100 {
		high, _ := math.Lgamma(a + 0.5)
		low, _ := math.Lgamma(a)
		return math.Exp(high - low)
	}
	b := 1 / a
	return math.Sqrt(a) * (1 + b*(-1.0/8+b*(1.0/128+b*(5.0/1024+b*(-21.0/32768)))))
}

// betaFraction is the continued fraction of the incomplete beta function (DLMF
// 8.17.22), by Lentz's method. x is at most (a+1)/(a+b+2), where it converges
// within about the root of the larger of a and b.
func betaFraction(x, a, b float64) float64 {
	const tiny = 1e-300
	keep := func(f float64) float64 {
		if math.Abs(f) < tiny {
			return tiny
		}
		return f
	}
	c, d := 1.0, 1/keep(1-(a+b)*x/(a+1))
	h := d
	for i := 1.0; i < 1e6; i++ {
		n := i * (b - i) * x / ((a + 2*i - 1) * (a + 2*i))
		d, c = 1/keep(1+n*d), keep(1+n/c)
		h *= d * c
		n = -(a + i) * (a + b + i) * x / ((a + 2*i) * (a + 2*i + 1))
		d, c = 1/keep(1+n*d), keep(1+n/c)
		h *= d * c
		if math.Abs(d*c-1) < 1e-16 {
			break
		}
	}
	return h
}

// studentQuantile is how far from 0 Student's t is with a probability of 0.05.
// It is between that of one degree of freedom and the normal distribution's.
func studentQuantile(freedom float64) float64 {
	return border(z95, 12.8, func(t float64) bool { return studentTails(t, freedom) < 0.05 })
}
