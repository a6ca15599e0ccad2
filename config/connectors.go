package config

func (l *loader) connectors(rs []*reader) []Connector { return nil }
