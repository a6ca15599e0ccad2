package config

func (l *loader) illustrate(p *Place) {}
