package query

// rfmGroup is a line of the map from scores to groups: the scores, lowest and
// highest, of r, f and m that lie in it.
type rfmGroup struct {
	name    string
	r, f, m [2]int
}

// rfmMap is the published map, where the asker gives no groups: the ten groups
// over r and f, each from 1 to 5, that the field has come to use. They leave no
// place out and share none; m plays no part. DESIGN.md draws it.
var rfmMap = []rfmGroup{
	{"Champions", [2]int{5, 5}, [2]int{4, 5}, [2]int{1, 5}},
	{"Loyal Users", [2]int{3, 4}, [2]int{4, 5}, [2]int{1, 5}},
	{"Potential Loyalists", [2]int{4, 5}, [2]int{2, 3}, [2]int{1, 5}},
	{"New Users", [2]int{5, 5}, [2]int{1, 1}, [2]int{1, 5}},
	{"Promising", [2]int{4, 4}, [2]int{1, 1}, [2]int{1, 5}},
	{"Needing Attention", [2]int{3, 3}, [2]int{3, 3}, [2]int{1, 5}},
	{"About to Sleep", [2]int{3, 3}, [2]int{1, 2}, [2]int{1, 5}},
	{"At Risk", [2]int{1, 2}, [2]int{3, 4}, [2]int{1, 5}},
	{"Cannot Lose Them", [2]int{1, 2}, [2]int{5, 5}, [2]int{1, 5}},
	{"Hibernating", [2]int{1, 2}, [2]int{1, 2}, [2]int{1, 5}},
}

const maxRFMGroups = 100 // their places fit a byte

// cell is the place of three scores among all there are.
func (r *rfm) cell(recent, frequent, money int) int {
	return ((recent-1)*r.bins+frequent-1)*r.bins + money - 1
}

// scores are those of a cell.
func (r *rfm) scores(cell int) [3]int {
	return [3]int{cell/r.bins/r.bins + 1, cell/r.bins%r.bins + 1, cell%r.bins + 1}
}

// readGroups reads the map, and finds the group of every cell: the first that
// it lies in.
func (r *rfm) readGroups(n node) error {
	r.groups = rfmMap
	place := func(score int) int { return score }
	if n.absent() {
		// The published map is of scores up to 5: others are stretched, or
		// pressed together, onto those, half up.
		place = func(score int) int {
			return 1 + (2*(score-1)*(rfmBins-1)+r.bins-1)/(2*(r.bins-1))
		}
	} else if err := r.ownGroups(n); err != nil {
		return err
	}
	r.of = make([]uint8, r.bins*r.bins*r.bins)
	for cell := range r.of {
		s := r.scores(cell)
		g := 0
		for g < len(r.groups) && !r.groups[g].has(place(s[0]), place(s[1]), place(s[2])) {
			g++
		}
		if g == len(r.groups) {
			return n.bad("the scores r %d, f %d, m %d lie in none of the groups; a last group without r, f and m takes whoever is left", s[0], s[1], s[2])
		}
		r.of[cell] = uint8(g)
	}
	return nil
}

func (g *rfmGroup) has(recent, frequent, money int) bool {
	return in(g.r, recent) && in(g.f, frequent) && in(g.m, money)
}

func in(ends [2]int, score int) bool { return ends[0] <= score && score <= ends[1] }

// ownGroups reads the asker's own map.
func (r *rfm) ownGroups(n node) error {
	list, err := n.needList(maxRFMGroups)
	if err != nil {
		return err
	}
	r.groups = nil
	named := map[string]bool{}
	for _, e := range list {
		f, err := e.fields()
		if err != nil {
			return err
		}
		name, err := f.need("name")
		if err != nil {
			return err
		}
		g := rfmGroup{}
		if g.name, err = name.text(); err != nil {
			return err
		}
		if g.name == "" || len(g.name) > maxGroupName || named[g.name] {
			return name.bad("a group has a name of its own, of at most %d bytes", maxGroupName)
		}
		named[g.name] = true
		for _, score := range []struct {
			key string
			to  *[2]int
		}{{"r", &g.r}, {"f", &g.f}, {"m", &g.m}} {
			if *score.to, err = f.take(score.key).ends(1, r.bins); err != nil {
				return err
			}
		}
		if err := f.done(); err != nil {
			return err
		}
		r.groups = append(r.groups, g)
	}
	return nil
}

const maxGroupName = 128

// ends is [lowest, highest], both in; all between low and high where it was
// left out.
func (n node) ends(low, high int) ([2]int, error) {
	if n.absent() {
		return [2]int{low, high}, nil
	}
	list, err := n.list(2)
	if err != nil {
		return [2]int{}, err
	}
	if len(list) != 2 {
		return [2]int{}, n.bad("this is the lowest and the highest score: [2, 4]")
	}
	var out [2]int
	if out[0], err = list[0].int(low, low, high); err != nil {
		return out, err
	}
	out[1], err = list[1].int(high, out[0], high)
	return out, err
}
