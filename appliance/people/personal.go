package people

import "strings"

// personalKeys are the attributes that identify someone by convention, in the
// form that plainKey gives: the built-in fields of CleverTap, the reserved
// traits of Segment, and the numbers that states and banks give people.
// Gender, city and country are not among them: they are asked about all the
// time and identify nobody alone. A publisher adds to this in its
// configuration; the door marks single attributes (Change.Personal).
var personalKeys = set(
	"name", "fullname", "firstname", "lastname", "middlename", "givenname", "familyname", "surname",
	"nickname", "displayname", "username", "login",
	"email", "emailaddress", "mail", "phone", "phonenumber", "mobile", "mobilenumber", "mobilephone", "telephone", "msisdn", "whatsapp",
	"address", "streetaddress", "street", "addressline1", "addressline2", "postaladdress", "postalcode", "postcode", "zip", "zipcode",
	"birthday", "birthdate", "dateofbirth", "dob",
	"identity", "id", "userid", "customerid", "fbid", "gpid", "facebookid", "googleid", "appleid",
	"photo", "avatar", "picture", "image",
	"ip", "ipaddress", "latitude", "longitude", "location",
	"ssn", "socialsecuritynumber", "nationalid", "nationalidnumber", "nric", "aadhaar", "aadhar", "pan", "pannumber", "passport", "passportnumber",
	"taxid", "driverslicense", "driverlicense", "iban", "accountnumber", "cardnumber",
)

func set(keys ...string) map[string]bool {
	m := make(map[string]bool, len(keys))
	for _, k := range keys {
		m[k] = true
	}
	return m
}

// PersonalKey says whether an attribute of this name identifies someone, by
// convention: "First Name", "first_name" and "firstName" are one name.
func PersonalKey(key string) bool { return personalKeys[plainKey(key)] }

// plainKey leaves the letters and digits of a key, in lower case.
func plainKey(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == '_' || r == '-' || r == ' ' || r == '.' || r == '$':
			return -1
		}
		return r
	}, key)
}

// Personal says whether an attribute identifies someone, by convention or since
// the publisher says so: it rests sealed and is in no column.
func (p *People) Personal(key string) bool { return p.personal[plainKey(key)] || PersonalKey(key) }

// askable says whether an attribute may become a column.
func (p *People) askable(a *attribute) bool { return !a.personal && !p.Personal(a.key) }
