dnl bounced.m4: sendmail asks bounced about every recipient, and hands bounces to it. As root:
dnl
dnl    cp bounced.m4 /etc/mail/
dnl    cat >> /etc/mail/sendmail.mc <<'M'
dnl    define(`BOUNCED_DOMAIN', `bounce.example.com')dnl
dnl    include(`/etc/mail/bounced.m4')dnl
dnl    M
dnl    sendmailconfig         (elsewhere: make -C /etc/mail, and restart sendmail)
dnl
dnl with your return-path domain for bounce.example.com; without the define it asks only. The lines belong at the end of
dnl sendmail.mc. A suppressed recipient is refused (550), a held one put off (450). Mail from sendmail(1) is submitted by
dnl SMTP, so it is asked about too: it is bounced, or waits in the queue of submission.
dnl When bounced is down everybody is put off (451, fails closed). To let mail go on instead (fails open), write
dnl define(`BOUNCED_OPEN')dnl before the include.
dnl Your own Local_check_rcpt must be called here, if you have one: a ruleset has one place.
LOCAL_CONFIG
# The name of the map is what the lookup port is asked for.
Ksuppress socket -a<STOP> -T<TMPF> inet:8526@127.0.0.1
ifdef(`BOUNCED_DOMAIN', `CR`'BOUNCED_DOMAIN
')dnl

LOCAL_RULESETS
SLocal_check_rcpt
R$*			$: $>canonify $1
R$+ < @ $+ . >		$1 < @ $2 >
R$+ < @ $+ >		$: $(suppress $1@$2 $)
ifdef(`BOUNCED_OPEN', `R$* <TMPF>		$@ OK',
`R$* <TMPF>		$#error $@ 4.3.0 $: "451 4.3.0 the suppression list does not answer"')
# "450 4.2.1 recipient held since ..."
R$- $- . $- . $- $+ <STOP>	$#error $@ $2.$3.$4 $: $1 $2.$3.$4 $5
R$*			$@ OK
ifdef(`BOUNCED_DOMAIN', `
LOCAL_RULE_0
R$+ < @ 'BOUNCED_DOMAIN` . >	$#bounced $@ [127.0.0.1] $: $1 < @ 'BOUNCED_DOMAIN` . >
R$+ < @ 'BOUNCED_DOMAIN` >	$#bounced $@ [127.0.0.1] $: $1 < @ 'BOUNCED_DOMAIN` >

MAILER_DEFINITIONS
Mbounced,	P=[IPC], F=mDFMuXk, S=EnvFromSMTP/HdrFromSMTP, R=EnvToSMTP, E=\r\n, L=990,
		T=DNS/RFC822/SMTP, A=TCP $h 2525
')dnl
