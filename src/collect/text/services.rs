//! Names of ports: those of a services list, as tools print them without `-n`.

/// Returns the port that a name stands for; nothing where the list does not have it.
pub(super) fn port_of(name: &str) -> Option<u16> {
    let index = SERVICES
        .binary_search_by_key(&name, |(known, _)| known)
        .ok()?;
    Some(SERVICES[index].1)
}

/// TCP services by name: the list that Debian installs as `/etc/services`, and names of the IANA
/// registry for ports that servers are often found on.
#[rustfmt::skip]
const SERVICES: [(&str, u16); 407] = [
    ("XmlIpcRegSvc", 9092), ("abyss", 9999), ("acr-nema", 104), ("activesync", 1034), ("afpovertcp", 548), ("afs3-callback", 7001),
    ("afs3-fileserver", 7000), ("afs3-prserver", 7002), ("airport-admin", 5009), ("amanda", 10080), ("amandaidx", 10082), ("amidxtape", 10083),
    ("amqp", 5672), ("amqps", 5671), ("asp", 27374), ("asterisk", 5038), ("auth", 113), ("authentication", 113), ("bacula-dir", 9101),
    ("bacula-fd", 9102), ("bacula-sd", 9103), ("bbs", 7000), ("bgp", 179), ("bgpd", 2605), ("binkp", 24554), ("blackice-alerts", 8082),
    ("blackice-icecap", 8081), ("boinc", 1043), ("cadlock", 1000), ("callbook", 2000), ("canna", 5680), ("cassandra", 9042), ("cddbp-alt", 8880),
    ("cfengine", 5308), ("chargen", 19), ("cisco-sccp", 2000), ("clc-build-daemon", 8990), ("cmd", 514), ("cmip-agent", 164), ("cmip-man", 163),
    ("codaauth2", 370), ("codasrv", 2432), ("codasrv-se", 2433), ("commplex-link", 5001), ("commplex-main", 5000), ("couchdb", 5984),
    ("cplscrambler-lg", 1086), ("cslistener", 9000), ("csync2", 30865), ("cvspserver", 2401), ("daap", 3689), ("datametrics", 1645), ("daytime", 13),
    ("db-lsp", 17500), ("dc", 2001), ("dcap", 22125), ("ddi-tcp-1", 8888), ("dec-notes", 3333), ("dicom", 104), ("dict", 2628), ("dircproxy", 57000),
    ("discard", 9), ("distcc", 3632), ("distinct", 9999), ("docker", 2375), ("docker-s", 2376), ("documentum", 10002), ("domain", 53),
    ("domain-s", 853), ("dsm-scm-target", 9987), ("dynamid", 9002), ("echo", 7), ("eforward", 2181), ("elasticsearch", 9200), ("epmap", 135),
    ("epmd", 4369), ("etlservicemgr", 9001), ("exec", 512), ("ezmeeting-2", 10101), ("f5-globalsite", 2792), ("f5-iquery", 4353), ("fax", 4557),
    ("ff-fms", 1090), ("fido", 60179), ("finger", 79), ("fmpro-internal", 5003), ("font-service", 7100), ("freeciv", 5556), ("fs-agent", 8042),
    ("ftp", 21), ("ftp-data", 20), ("ftps", 990), ("ftps-data", 989), ("gdomap", 538), ("gds-db", 3050), ("gds_db", 3050), ("git", 9418),
    ("globe", 2002), ("glrpc", 9080), ("gnunet", 2086), ("gnutella-rtr", 6347), ("gnutella-svc", 6346), ("gopher", 70), ("gpsd", 2947),
    ("gris", 2135), ("groupwise", 1677), ("gsidcap", 22128), ("gsiftp", 2811), ("gsigatekeeper", 2119), ("hbci", 3000), ("hkp", 11371),
    ("hp-pdl-datastr", 9100), ("hprop", 754), ("http", 80), ("http-alt", 8080), ("http-proxy", 8080), ("https", 443), ("https-alt", 8443),
    ("hylafax", 4559), ("ibm-db2", 523), ("ibm-diradm", 3538), ("icl-twobase1", 25000), ("icslap", 2869), ("ida-discover1", 5741), ("ident", 113),
    ("imap", 143), ("imap2", 143), ("imaps", 993), ("indigo-server", 1176), ("ingreslock", 1524), ("intermapper", 8181), ("ipp", 631),
    ("iprop", 2121), ("ircd", 6667), ("ircs-u", 6697), ("irdmi", 8000), ("isakmp", 500), ("iscsi-target", 3260), ("isisd", 2608), ("isns", 3205),
    ("iso-tsap", 102), ("italk", 12345), ("iua", 9900), ("jabber-client", 5222), ("jabber-server", 5269), ("jboss-iiop", 3528), ("jetdirect", 9100),
    ("kafka", 9092), ("kamanda", 10081), ("kdc", 750), ("kerberos", 88), ("kerberos-adm", 749), ("kerberos-iv", 750), ("kerberos-master", 751),
    ("kerberos-sec", 88), ("kerberos4", 750), ("kerberos5", 88), ("kermit", 1649), ("klogin", 543), ("kpasswd", 464), ("krb-prop", 754), ("krb5", 88),
    ("krb5_prop", 754), ("krb_prop", 754), ("krcmd", 544), ("kshell", 544), ("ldap", 389), ("ldaps", 636), ("ldp", 646), ("llmnr", 5355),
    ("lm-x", 6200), ("loc-srv", 135), ("login", 513), ("lotusnote", 1352), ("lotusnotes", 1352), ("lrrd", 4949), ("m2ua", 2904), ("mail", 25),
    ("mailq", 174), ("mcreport", 8003), ("mdns", 5353), ("memcache", 11211), ("microsoft-ds", 445), ("moira-db", 775), ("moira-update", 777),
    ("moira_db", 775), ("moira_update", 777), ("mon", 2583), ("mongodb", 27017), ("mosaicsyssvc1", 2480), ("mqtt", 1883), ("ms-sql-m", 1434),
    ("ms-sql-s", 1433), ("ms-wbt-server", 3389), ("msft-gc", 3268), ("mtn", 4691), ("mtport-regist", 3791), ("munin", 4949), ("mxi", 8005),
    ("mysql", 3306), ("mysql-proxy", 6446), ("nbd", 10809), ("ncube-lm", 1521), ("ndl-aas", 3128), ("ndmp", 10000), ("neod1", 1047),
    ("netbios-ssn", 139), ("netstat", 15), ("netview-aix-1", 1661), ("newoak", 4001), ("nfs", 2049), ("nfsd", 2049), ("nicelink", 1095),
    ("nicname", 43), ("nimsh", 3901), ("nntp", 119), ("nntps", 563), ("nqs", 607), ("nrpe", 5666), ("nsca", 5667), ("ntske", 4460), ("null", 9),
    ("nut", 3493), ("old-radacct", 1646), ("old-radius", 1645), ("omniorb", 8088), ("openvpn", 1194), ("opsec-lea", 18184), ("oracle-tns", 1521),
    ("ospf6d", 2606), ("ospfapi", 2607), ("ospfd", 2604), ("pago-services1", 30001), ("pawserv", 345), ("pcsync-http", 8444), ("pcsync-https", 8443),
    ("pdl-datastream", 9100), ("personal-agent", 5555), ("pichat", 9009), ("pop-3", 110), ("pop3", 110), ("pop3s", 995), ("poppassd", 106),
    ("portmapper", 111), ("postgres", 5432), ("postgresql", 5432), ("pptp", 1723), ("printer", 515), ("prometheus", 9090), ("proofd", 1093),
    ("puppet", 8140), ("qmqp", 628), ("qmtp", 209), ("qotd", 17), ("quote", 17), ("radacct", 1813), ("radan-http", 8088), ("radius", 1812),
    ("radius-acct", 1813), ("radmin-port", 4899), ("readnews", 119), ("redis", 6379), ("remctl", 4373), ("remoteware-cl", 3000), ("rfb", 5900),
    ("rfe", 5002), ("ripd", 2602), ("ripngd", 2603), ("rmiactivation", 1098), ("rmiregistry", 1099), ("rmtcfg", 1236), ("rootd", 1094),
    ("rpc2portmap", 369), ("rptp", 5556), ("rsync", 873), ("rtcm-sc104", 2101), ("rtsp", 554), ("sa-msg-port", 1646), ("saft", 487), ("sane", 6566),
    ("sane-port", 6566), ("saned", 6566), ("saphostctrl", 1128), ("sapv1", 9875), ("scp-config", 10001), ("search", 2010), ("search-agent", 1234),
    ("secure-mqtt", 8883), ("sge-execd", 6445), ("sge-qmaster", 6444), ("sge_execd", 6445), ("sge_qmaster", 6444), ("sgi-cad", 17004), ("shell", 514),
    ("sieve", 4190), ("silc", 706), ("simplifymedia", 8087), ("sink", 9), ("sip", 5060), ("sip-tls", 5061), ("skkserv", 1178), ("sm-proxy", 8087),
    ("smtp", 25), ("smtps", 465), ("smux", 199), ("snmp", 161), ("snmp-trap", 162), ("snmptrap", 162), ("snntp", 563), ("snpp", 444), ("socks", 1080),
    ("sometimes-rpc1", 32770), ("source", 19), ("spamd", 783), ("spooler", 515), ("squid", 3128), ("ssh", 22), ("ssmtp", 465), ("submission", 587),
    ("submissions", 465), ("subversion", 3690), ("sun-answerbook", 8888), ("sunproxyadmin", 8081), ("sunrpc", 111), ("supfiledbg", 1127),
    ("supfilesrv", 871), ("suucp", 4031), ("svn", 3690), ("svrloc", 427), ("sybase", 5000), ("synchronet-db", 6100), ("syslog", 514),
    ("syslog-tls", 6514), ("sysrqd", 4094), ("systat", 11), ("tacacs", 49), ("tambora", 9020), ("tap", 113), ("tcpmux", 1), ("telnet", 23),
    ("telnets", 992), ("terabase", 4000), ("teradataordbms", 8002), ("tfido", 60177), ("time", 37), ("timserver", 37), ("tinc", 655),
    ("tomcat", 8080), ("tproxy", 8081), ("tram", 4567), ("tsap", 102), ("ttytst", 19), ("tungsten-http", 9762), ("untp", 119), ("upnp", 5000),
    ("urd", 465), ("us-cli", 8082), ("us-srv", 8083), ("users", 11), ("uucp", 540), ("uucpd", 540), ("vat", 3456), ("vcom-tunnel", 8001),
    ("venus", 2430), ("venus-se", 2431), ("vfo", 1056), ("vnc-server", 5900), ("vrace", 9300), ("wais", 210), ("wap-wsp", 9200), ("wbem-http", 5988),
    ("wbem-https", 5989), ("webcache", 8080), ("webmin", 10000), ("websm", 9090), ("whois", 43), ("wnn6", 22273), ("wsdapi", 5357), ("wsman", 5985),
    ("wsmans", 5986), ("www", 80), ("www-http", 80), ("x11", 6000), ("x11-0", 6000), ("x11-1", 6001), ("x11-2", 6002), ("x11-3", 6003),
    ("x11-4", 6004), ("x11-5", 6005), ("x11-6", 6006), ("x11-7", 6007), ("xfs", 7100), ("xinetd", 9098), ("xmms2", 9667), ("xmpp-client", 5222),
    ("xmpp-server", 5269), ("xtel", 1313), ("xtelw", 1314), ("z3950", 210), ("zabbix-agent", 10050), ("zabbix-trapper", 10051), ("zebra", 2601),
    ("zebrasrv", 2600), ("zeus-admin", 9090), ("zope", 9673), ("zope-ftp", 8021), ("zserv", 346),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_for_its_search() {
        assert!(SERVICES.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn names_that_tools_print_are_in_it() {
        for (name, port) in [
            ("http", 80),
            ("https", 443),
            ("http-alt", 8080),
            ("postgresql", 5432),
        ] {
            assert_eq!(port_of(name), Some(port));
        }
        assert_eq!(port_of("no-such-service"), None);
    }
}
