package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cloisterhq/cloister/appliance/event"
	"github.com/cloisterhq/cloister/appliance/people"
	"github.com/cloisterhq/cloister/appliance/query"
)

// ErrUpload: a part of a list does not follow what was uploaded before.
var ErrUpload = errors.New("publisher: a part of a list that does not follow the one before")

// Lists tells of the uploaded lists by name, also of those whose upload has not
// ended.
func (p *Publisher) Lists() []people.ListInfo {
	w := p.people.Snapshot()
	defer w.Release()
	return w.ListInfos()
}

func (p *Publisher) list(name string) (people.ListInfo, bool) {
	all := p.Lists()
	i := slices.IndexFunc(all, func(l people.ListInfo) bool { return l.Name == name })
	if i < 0 {
		return people.ListInfo{}, false
	}
	return all[i], true
}

// UploadList takes a part of an upload of a list; it is applied when it
// returns. ErrUpload if another part has to come first. Who is named and not
// known is counted, and not kept.
func (p *Publisher) UploadList(ctx context.Context, name string, part people.ListPart) (people.ListInfo, error) {
	if err := checkName(event.TypeList, name); err != nil {
		return people.ListInfo{}, err
	}
	size := 0
	for _, id := range part.People {
		size += len(id) + 1
	}
	if len(part.People) > people.MaxListPart || size > people.MaxListBytes {
		return people.ListInfo{}, &query.Error{Code: query.CodeBudget, Path: "lines",
			Message: fmt.Sprintf("a part of a list has at most %d identities, of %d bytes together: upload it in several", people.MaxListPart, people.MaxListBytes)}
	}
	if _, there := p.list(name); !there && len(p.Lists()) >= people.MaxLists {
		return people.ListInfo{}, &query.Error{Code: query.CodeBudget, Path: "name", Message: fmt.Sprintf("there are %d lists already, and no more are kept: delete one", people.MaxLists)}
	}
	body, err := part.Encode()
	if err != nil {
		return people.ListInfo{}, err
	}
	if err := p.save(ctx, event.TypeList, name, body); err != nil {
		return people.ListInfo{}, err
	}
	l, there := p.list(name)
	taken := part.Last && l.Finished == part.Source || l.Upload == part.Source && l.Next >= part.Line+part.Lines
	if !there || !taken {
		return people.ListInfo{}, fmt.Errorf("list %q, line %d: %w", name, part.Line, ErrUpload)
	}
	return l, nil
}

// DeleteList removes a list, or answers ErrUnknown.
func (p *Publisher) DeleteList(ctx context.Context, name string) error {
	if _, ok := p.list(name); !ok {
		return fmt.Errorf("list %q: %w", name, ErrUnknown)
	}
	return p.save(ctx, event.TypeList, name, nil)
}
