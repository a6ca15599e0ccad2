// Package mix is what questions are measured on: a shop's events over 90 days,
// made from a seed, the same for every engine. There are 40 events a person,
// whatever the size, and activity is Zipf-like: few do much, many do little.
package mix

import (
	"math"
	"math/rand/v2"
	"strings"
	"time"
)

// Days is how long the events last, and PerPerson how many there are for each
// person on average.
const (
	Days      = 90
	PerPerson = 40
)

// Start is the first day: a Monday, so that weeks are the same to everybody.
var Start = time.Date(2026, 8, 3, 0, 0, 0, 0, time.UTC)

const day = int64(24 * time.Hour / time.Millisecond)

// Event is one event. What is a small number is a place in a list below.
type Event struct {
	Time     int64  // milliseconds since 1970 UTC; no two of one person are equal
	Person   uint32 // from 0
	Amount   int32  // hundredths; 0 = none
	Name     uint8
	Country  uint8
	Platform uint8
	Plan     uint8
}

// Profile is what is known of a person.
type Profile struct{ Country, Plan, Platform, Language uint8 }

// The values of properties, as Event and Profile count them.
var (
	Names = []string{"App Launched", "Screen Viewed", "Product Viewed", "Searched", "Video Watched", "Added to Cart", "Charged",
		"Offer Viewed", "Offer Opened", "Category Viewed", "Added to Wishlist", "Removed from Cart", "Checkout Started",
		"Payment Failed", "Coupon Applied", "Profile Updated", "Logged In", "Logged Out", "Shared", "Rated", "Banner Clicked",
		"Banner Viewed", "App Backgrounded", "Support Opened", "Referral Sent"}
	Countries = strings.Fields("IN US BR ID NG PK BD MX PH VN EG TR IR DE TH GB FR IT ZA TZ KE CO ES AR UA " +
		"DZ SD IQ PL CA MA SA UZ PE MY AO GH MZ YE NP VE MG CI AU CM NE LK BF ML SG")
	Platforms = []string{"Android", "iOS", "Web", "TV"}
	Plans     = []string{"free", "basic", "pro", "family", "enterprise"}
	Languages = strings.Fields("en hi es pt id fr ar bn de tr")
)

// Words are the same by what they are values of.
func Words() map[string][]string {
	return map[string][]string{"event": Names, "country": Countries, "platform": Platforms, "plan": Plans, "language": Languages}
}

const (
	cart    = 5
	charged = 6
)

// People is how many there are among so many events.
func People(events int) int { return max(events/PerPerson, 100) }

// Someone is a person who did much, but not the most: of whom to ask what they
// did last.
func Someone(events int, seed uint64) uint32 {
	n := People(events)
	return shuffled(n, seed)[n/100]
}

// Profiles gives everybody's.
func Profiles(events int, seed uint64) []Profile {
	country := chances(50, func(i int) float64 { return math.Pow(float64(i+1), -1.1) })
	platform := among(60, 25, 12, 3)
	plan := among(70, 15, 8, 5, 2)
	r := rand.New(rand.NewPCG(seed, 1))
	ps := make([]Profile, People(events))
	for i := range ps {
		ps[i] = Profile{country.pick(r), plan.pick(r), platform.pick(r), uint8(r.IntN(len(Languages)))}
	}
	return ps
}

func shuffled(n int, seed uint64) []uint32 {
	r := rand.New(rand.NewPCG(seed, 2))
	list := make([]uint32, n)
	for i := range list {
		list[i] = uint32(i)
	}
	r.Shuffle(n, func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// weights are running sums of chances, the last of them 1.
type weights []float64

func among(w ...float64) weights { return chances(len(w), func(i int) float64 { return w[i] }) }

func chances(n int, weight func(int) float64) weights {
	w, sum := make(weights, n), 0.0
	for i := range w {
		sum += weight(i)
		w[i] = sum
	}
	for i := range w {
		w[i] /= sum
	}
	return w
}

func (w weights) pick(r *rand.Rand) uint8 {
	x := r.Float64()
	for i, upTo := range w {
		if x < upTo {
			return uint8(i)
		}
	}
	return uint8(len(w) - 1)
}
