package demo

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// call is one call of Segment's format.
type call struct {
	Type        string         `json:"type"`
	MessageID   string         `json:"messageId"`
	UserID      string         `json:"userId,omitempty"`
	AnonymousID string         `json:"anonymousId,omitempty"`
	Event       string         `json:"event,omitempty"`
	Properties  map[string]any `json:"properties,omitempty"`
	Traits      map[string]any `json:"traits,omitempty"`
	Context     map[string]any `json:"context,omitempty"`
	Timestamp   time.Time      `json:"timestamp"`
}

// shop is the invented app. It belongs to one goroutine.
type shop struct {
	o      Options
	rand   *rand.Rand
	client *http.Client
	queue  queue
	sent   uint64
	known  map[int]bool // who has signed up
	owed   float64      // visits that the rate still asks for
}

// queue holds what will happen, the earliest first.
type queue []call

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].Timestamp.Before(q[j].Timestamp) }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(call)) }
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}

// due takes what has happened by now.
func (s *shop) due(now time.Time) []call {
	var out []call
	for len(s.queue) > 0 && !s.queue[0].Timestamp.After(now) {
		out = append(out, heap.Pop(&s.queue).(call))
	}
	return out
}

const callsPerVisit = 6 // about

// visitors lets people come in at the rate that was asked for.
func (s *shop) visitors(from, to time.Time) {
	s.owed += s.o.Rate * to.Sub(from).Seconds() / callsPerVisit
	for ; s.owed >= 1; s.owed-- {
		s.visit(from.Add(time.Duration(s.rand.Float64() * float64(to.Sub(from)))))
	}
}

// who picks a person: a few come often, most seldom.
func (s *shop) who() int {
	return int(math.Pow(s.rand.Float64(), 2.2) * float64(s.o.People))
}

var (
	products = []struct {
		sku, name, category string
		price               float64
	}{
		{"H-101", "Enamel mug", "kitchen", 14.5}, {"H-102", "Linen apron", "kitchen", 32}, {"H-118", "Oak board", "kitchen", 46},
		{"H-207", "Wool throw", "living", 89}, {"H-214", "Brass lamp", "living", 129}, {"H-230", "Cotton rug", "living", 74},
		{"H-301", "Field bag", "travel", 118}, {"H-305", "Steel flask", "travel", 29}, {"H-322", "Rain shell", "travel", 165},
		{"H-404", "Seed box", "garden", 18}, {"H-411", "Copper can", "garden", 54}, {"H-419", "Kneeling mat", "garden", 22},
	}
	countries = []string{"IN", "IN", "IN", "GB", "DE", "FR", "SG", "AE", "KE", "BR"}
	platforms = []string{"Android", "Android", "iOS", "Web"}
	plans     = []string{"free", "free", "free", "plus", "club"}
	first     = []string{"Asha", "Noor", "Lena", "Tomas", "Ines", "Ravi", "Mei", "Joan", "Kofi", "Sara", "Emil", "Zoya", "Ada", "Luis", "Nina", "Omar"}
	last      = []string{"Rao", "Haddad", "Weber", "Novak", "Costa", "Iyer", "Tan", "Puig", "Mensah", "Lund", "Khan", "Silva", "Moreau", "Okafor"}
)

// trait picks something of a person that never changes.
func trait[T any](person int, salt uint64, of []T) T {
	return of[rand.New(rand.NewPCG(uint64(person), salt)).IntN(len(of))]
}

func name(person int) (string, string) { return trait(person, 3, first), trait(person, 4, last) }

func user(person int) string   { return fmt.Sprintf("shopper-%05d", person) }
func device(person int) string { return fmt.Sprintf("device-%05d", person) }

// visit plans one person's visit from start on.
func (s *shop) visit(start time.Time) {
	if s.known == nil {
		s.known = make(map[int]bool)
	}
	v := &visitor{s: s, person: s.who(), at: start}
	v.platform, v.country = trait(v.person, 1, platforms), trait(v.person, 2, countries)
	v.track("App Launched", map[string]any{"app_version": trait(s.rand.IntN(3), 9, []string{"4.1.0", "4.2.1", "4.2.2"})})
	if !s.known[v.person] && s.rand.Float64() < 0.6 {
		v.wait(4, 20)
		v.signUp()
	}
	for range 1 + s.rand.IntN(4) {
		v.wait(2, 15)
		v.look()
	}
	if s.rand.Float64() < 0.5 {
		v.wait(2, 10)
		v.basket()
	}
}

// visitor is one visit being planned.
type visitor struct {
	s                 *shop
	person            int
	at                time.Time
	platform, country string
	seen              int // product looked at last
}

func (v *visitor) wait(from, to float64) {
	v.at = v.at.Add(time.Duration((from + v.s.rand.Float64()*(to-from)) * float64(time.Second)))
}

func (v *visitor) plan(c call) {
	v.s.sent++
	// The name of the run keeps a second demo over the same data apart.
	c.MessageID = fmt.Sprintf("demo-%x-%x", v.s.o.Seed, v.s.sent)
	c.Timestamp = v.at.UTC()
	c.AnonymousID = device(v.person)
	if v.s.known[v.person] {
		c.UserID = user(v.person)
	}
	heap.Push(&v.s.queue, c)
}

func (v *visitor) track(event string, props map[string]any) {
	props["platform"], props["country"] = v.platform, v.country
	v.plan(call{Type: "track", Event: event, Properties: props})
}

// signUp makes a device known: a name, addresses, and mostly a consent.
func (v *visitor) signUp() {
	v.s.known[v.person] = true
	given, family := name(v.person)
	agrees := trait(v.person, 5, []bool{true, true, true, false})
	v.plan(call{
		Type: "identify",
		Traits: map[string]any{
			"Name": given + " " + family, "plan": trait(v.person, 6, plans), "country": v.country,
			"Email": fmt.Sprintf("%s.%s.%d@shop.example", strings.ToLower(given), strings.ToLower(family), v.person),
			"Phone": fmt.Sprintf("+9198%08d", v.person),
		},
		Context: map[string]any{
			"consent": map[string]any{"categoryPreferences": map[string]bool{"offers": agrees}},
			"device":  map[string]any{"token": fmt.Sprintf("demo-token-%05d", v.person), "type": strings.ToLower(v.platform)},
		},
	})
	v.track("Signed Up", map[string]any{"plan": trait(v.person, 6, plans)})
}

func (v *visitor) look() {
	v.seen = v.s.rand.IntN(len(products))
	p := products[v.seen]
	v.track("Product Viewed", map[string]any{"sku": p.sku, "product": p.name, "category": p.category, "price": p.price})
}

// basket is what most of a shop's life hangs on: put in, and then?
func (v *visitor) basket() {
	p := products[v.seen]
	n := 1 + v.s.rand.IntN(2)
	v.track("Added To Cart", map[string]any{"sku": p.sku, "product": p.name, "category": p.category, "price": p.price, "quantity": n})
	if v.s.rand.Float64() > 0.6 {
		return // a cart left behind
	}
	v.wait(2, 10)
	v.track("Checkout Started", map[string]any{"sku": p.sku, "value": p.price * float64(n)})
	if v.s.rand.Float64() > 0.75 {
		return
	}
	v.wait(3, 15)
	v.track("Charged", map[string]any{
		"Amount": p.price * float64(n), "Currency": "EUR", "Payment Mode": trait(v.person, 7, []string{"Card", "UPI", "Invoice"}),
		"Items": []map[string]any{{"sku": p.sku, "product": p.name, "category": p.category, "quantity": n, "price": p.price}},
	})
}
