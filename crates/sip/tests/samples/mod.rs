//! Messages more than one test reads.

/// The protected REGISTER of a phone: about 950 octets.
pub(crate) fn register() -> String {
    [
        "REGISTER sip:ims.mnc001.mcc001.3gppnetwork.org SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.17:7002;branch=z9hG4bK1c2d3e4f5a6b7c8d;rport",
        "Max-Forwards: 70",
        "From: <sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org>;tag=4fa3",
        "To: <sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org>",
        "Contact: <sip:192.0.2.17:7002>;+sip.instance=\"<urn:gsma:imei:35824005-694763-0>\";expires=600000",
        "Call-ID: apb03a0s09dkjdfglkj49111@192.0.2.17",
        "CSeq: 2 REGISTER",
        "Authorization: Digest username=\"001010000000001@ims.mnc001.mcc001.3gppnetwork.org\", \
         realm=\"ims.mnc001.mcc001.3gppnetwork.org\", \
         nonce=\"I1U8vpY3qJ0hiuZNrke/NVXzKLQ1d7m5Sp/6w1Tfr7M=\", algorithm=AKAv1-MD5, \
         uri=\"sip:ims.mnc001.mcc001.3gppnetwork.org\", response=\"1125a3c2e293453f07e08957ff235efc\"",
        "Require: sec-agree",
        "Proxy-Require: sec-agree",
        "Supported: path",
        "Expires: 600000",
        "P-Access-Network-Info: 3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=0010100010000001",
        "Content-Length: 0",
        "",
        "",
    ]
    .join("\r\n")
}
