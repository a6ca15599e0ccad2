package ingest

import "github.com/cloisterhq/cloister/appliance/event"

// aliased makes the facts of an alias for somebody, in the dialects whose ids
// may be a user's or a device's: either of the two may have been seen already,
// and either may be used from now on. So the alias joins them as a device,
// whatever was done under it, and then as a further id of the user. f has the
// id and the time.
func aliased(f event.Fact, user, alias string) []event.Fact {
	if user == alias {
		return nil
	}
	f.Kind, f.Name, f.Device = event.Alias, "", ""
	f.User, f.Previous = user, alias
	further := f
	further.User, further.Previous = alias, user
	further.ID = ridingID(f.ID, "/further")
	return []event.Fact{f, further}
}

// aliasOf makes the facts of an alias for whom f is about. Where nobody is
// identified yet, the alias is the user and the device joins them.
func aliasOf(f event.Fact, alias string) ([]event.Fact, error) {
	switch {
	case alias == "":
		return nil, missing("properties.alias", "the id that joins is missing")
	case f.User != "":
		return aliased(f, f.User, alias), nil
	case f.Device == alias:
		return nil, nil
	}
	f.Kind, f.Name = event.Alias, ""
	f.User, f.Previous, f.Device = alias, f.Device, ""
	return []event.Fact{f}, nil
}
