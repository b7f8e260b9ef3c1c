package bot

// clashes are what only all files together show: doors of the gateway that two bots claim, and types of channels of which
// there are more than the licence allows. It also fills the index of tokens.
func (s *Set) clashes(licences map[string]int) Problems {
	var problems Problems
	s.clashingAdapters(&problems)
	ids, count := map[string]*Channel{}, map[string]int{}
	for _, b := range s.Bots() {
		for i, ch := range b.channels {
			path := item("$.channels", i)
			if first, taken := ids[ch.ID]; taken {
				problems.add(b, path+".id", "is that of channel %s of bot %s", first.Code, first.Bot)
			}
			ids[ch.ID] = ch
			count[ch.Type]++
			if most, bounded := licences[ch.Type]; bounded && count[ch.Type] > most {
				problems.add(b, path+".type", "is one channel too many: the licence allows %d of the type %s", most, ch.Type)
			}
			for _, sum := range b.TokenSums(ch) {
				if first, taken := s.tokens[sum]; taken && first != ch {
					problems.add(b, path+".token_local", "opens channel %s of bot %s already", first.Code, first.Bot)
					continue
				}
				s.tokens[sum] = ch
			}
		}
	}
	return problems
}

func (s *Set) clashingAdapters(problems *Problems) {
	type address struct{ account, adapter string }
	owners := map[address]*Bot{}
	for _, b := range s.Bots() {
		for _, a := range b.Adapters() {
			if a.ProductToken == "" {
				continue // its outbound URL is closed
			}
			at := address{a.Account, a.Name}
			if first, taken := owners[at]; taken {
				problems.add(b, member("$.adapters", a.Name), "bot %s has an adapter of this name and account already", first.Name())
				continue
			}
			owners[at] = b
		}
	}
}

func (p *Problems) add(b *Bot, key, format string, args ...any) {
	d := document{name: b.id.Bot + ".yaml", places: b.places}
	d.problem(key, format, args...)
	*p = append(*p, d.problems...)
}
