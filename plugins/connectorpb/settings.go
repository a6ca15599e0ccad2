package connectorpb

import (
	"encoding/json"
	"fmt"

	"github.com/cloisterhq/cloister/plugins/connector"
)

// FromDescription gives d's form on the wire.
func FromDescription(d connector.Description) *Description {
	return &Description{
		Name: d.Name, Version: d.Version, Summary: d.Summary, Channels: d.Channels, Batch: int32(d.Batch), Network: d.Network,
	}
}

// ToDescription reads a description off the wire and brings it within bounds.
func ToDescription(p *Description) connector.Description {
	d := connector.Description{
		Name: Clean(p.GetName(), 64), Version: Clean(p.GetVersion(), 64), Summary: Clean(p.GetSummary(), MaxError),
		Batch: int(p.GetBatch()), Network: p.GetNetwork(),
	}
	if d.Batch <= 0 || d.Batch > MaxBatch {
		d.Batch = MaxBatch
	}
	for _, c := range p.GetChannels()[:min(len(p.GetChannels()), 8)] {
		d.Channels = append(d.Channels, Clean(c, 32))
	}
	return d
}

// FromSchema gives s's form on the wire. It fails if a default is not of its
// setting's type.
func FromSchema(s connector.Schema) (*Schema, error) {
	settings, err := fromSettings(s.Settings)
	if err != nil {
		return nil, err
	}
	p := &Schema{Settings: settings}
	for _, b := range s.Blocks {
		inner, err := fromSettings(b.Settings)
		if err != nil {
			return nil, fmt.Errorf("block %q: %w", b.Name, err)
		}
		p.Blocks = append(p.Blocks, &Block{Name: b.Name, Doc: b.Doc, Required: b.Required, Settings: inner})
	}
	return p, nil
}

func fromSettings(in []connector.Setting) ([]*Setting, error) {
	var out []*Setting
	for _, s := range in {
		p := &Setting{
			Name: s.Name, Type: string(s.Type), Doc: s.Doc, Required: s.Required, Sensitive: s.Sensitive,
			Deprecated: s.Deprecated, Enum: s.Enum, Min: s.Min, Max: s.Max, Pattern: s.Pattern, Folder: s.Folder, Reach: s.Reach,
		}
		if s.Default != nil {
			raw, err := json.Marshal(s.Default)
			if err == nil {
				_, err = value(s.Type, raw)
			}
			if err != nil {
				return nil, fmt.Errorf("default of setting %q: %w", s.Name, err)
			}
			p.DefaultJson = raw
		}
		out = append(out, p)
	}
	return out, nil
}

// ToSchema reads a schema off the wire.
func ToSchema(p *Schema) (connector.Schema, error) {
	var s connector.Schema
	var err error
	if s.Settings, err = toSettings(p.GetSettings()); err != nil {
		return s, err
	}
	for _, b := range p.GetBlocks() {
		inner, err := toSettings(b.GetSettings())
		if err != nil {
			return s, fmt.Errorf("block %q: %w", Clean(b.GetName(), 64), err)
		}
		s.Blocks = append(s.Blocks, connector.Block{
			Name: b.GetName(), Doc: Clean(b.GetDoc(), MaxError), Required: b.GetRequired(), Settings: inner,
		})
	}
	return s, nil
}

func toSettings(in []*Setting) ([]connector.Setting, error) {
	var out []connector.Setting
	for _, p := range in {
		s := connector.Setting{
			Name: p.GetName(), Type: connector.Type(p.GetType()), Doc: Clean(p.GetDoc(), MaxError), Required: p.GetRequired(),
			Sensitive: p.GetSensitive(), Deprecated: Clean(p.GetDeprecated(), MaxError), Enum: p.GetEnum(),
			Min: p.Min, Max: p.Max, Pattern: p.GetPattern(), Folder: p.GetFolder(), Reach: p.GetReach(),
		}
		if raw := p.GetDefaultJson(); len(raw) > 0 {
			v, err := value(s.Type, raw)
			if err != nil {
				return nil, fmt.Errorf("default of setting %q: %w", Clean(s.Name, 64), err)
			}
			s.Default = v
		}
		out = append(out, s)
	}
	return out, nil
}

// EncodeSettings writes settings as JSON.
func EncodeSettings(s connector.Settings) ([]byte, error) {
	if s == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(s)
}

// DecodeSettings reads settings as their schema says, so that every value has
// exactly the type that connector.Settings promises. It fails on a name that
// the schema does not know and on a value of another type.
func DecodeSettings(schema connector.Schema, raw []byte) (connector.Settings, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	blocks := make(map[string]json.RawMessage)
	for _, b := range schema.Blocks {
		if v, ok := m[b.Name]; ok {
			blocks[b.Name] = v
			delete(m, b.Name)
		}
	}
	out, err := decodeSettings(schema.Settings, m)
	if err != nil {
		return nil, err
	}
	for _, b := range schema.Blocks {
		v, ok := blocks[b.Name]
		if !ok || string(v) == "null" {
			continue
		}
		var inner map[string]json.RawMessage
		if err := json.Unmarshal(v, &inner); err != nil {
			return nil, fmt.Errorf("block %q: not an object", b.Name)
		}
		s, err := decodeSettings(b.Settings, inner)
		if err != nil {
			return nil, fmt.Errorf("block %q: %w", b.Name, err)
		}
		out[b.Name] = s
	}
	return out, nil
}

func decodeSettings(known []connector.Setting, m map[string]json.RawMessage) (connector.Settings, error) {
	out := connector.Settings{}
	for _, s := range known {
		raw, ok := m[s.Name]
		if !ok {
			continue
		}
		delete(m, s.Name)
		if string(raw) == "null" {
			continue
		}
		v, err := value(s.Type, raw)
		if err != nil {
			return nil, fmt.Errorf("setting %q: %w", s.Name, err)
		}
		out[s.Name] = v
	}
	for name := range m {
		return nil, fmt.Errorf("setting %q is not in the schema", Clean(name, 64))
	}
	return out, nil
}

// value reads one JSON value as its type says. The errors name no values.
func value(t connector.Type, raw []byte) (any, error) {
	var err error
	switch t {
	case connector.TypeString, connector.TypeDuration:
		var v string
		if err = json.Unmarshal(raw, &v); err == nil {
			return v, nil
		}
	case connector.TypeNumber:
		var v float64
		if err = json.Unmarshal(raw, &v); err == nil {
			return v, nil
		}
	case connector.TypeBool:
		var v bool
		if err = json.Unmarshal(raw, &v); err == nil {
			return v, nil
		}
	case connector.TypeStrings:
		var v []string
		if err = json.Unmarshal(raw, &v); err == nil {
			return v, nil
		}
	case connector.TypeMap:
		var v map[string]string
		if err = json.Unmarshal(raw, &v); err == nil {
			return v, nil
		}
	default:
		return nil, fmt.Errorf("type %q is not known", Clean(string(t), 64))
	}
	return nil, fmt.Errorf("not a %s", t)
}
