//! The AVPs of the base protocol and of Cx that this crate writes, reads, or knows well enough to pass over.

use super::AvpKey;

/// Vendor-Id of 3GPP.
pub const VENDOR_3GPP: u32 = 10415;

/// An AVP and whether it is written with the M flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    pub key: AvpKey,
    pub mandatory: bool,
    /// The fewest octets its type has.
    pub(super) shortest: usize,
}

macro_rules! dictionary {
    ($($name:ident $code:literal $vendor:ident $flag:ident $shortest:literal $text:literal;)*) => {
        $(pub const $name: Definition =
            Definition {
                key: AvpKey { code: $code, vendor: dictionary!(@$vendor) },
                mandatory: dictionary!(@$flag),
                shortest: $shortest,
            };)*

        /// The fewest octets of an AVP's value; 0 where its type is not known.
        pub(super) const fn shortest(key: AvpKey) -> usize {
            match (key.code, key.vendor) {
                $(($code, dictionary!(@$vendor)) => $shortest,)*
                _ => 0,
            }
        }

        /// The name in the standard, of every AVP this crate knows.
        pub const fn name(key: AvpKey) -> Option<&'static str> {
            match (key.code, key.vendor) {
                $(($code, dictionary!(@$vendor)) => Some($text),)*
                _ => None,
            }
        }
    };
    (@ietf) => { 0 };
    (@tgpp) => { 10415 };
    (@m) => { true };
    (@o) => { false };
}

dictionary! {
    USER_NAME 1 ietf m 0 "User-Name";
    PROXY_STATE 33 ietf m 0 "Proxy-State";
    HOST_IP_ADDRESS 257 ietf m 6 "Host-IP-Address";
    AUTH_APPLICATION_ID 258 ietf m 4 "Auth-Application-Id";
    ACCT_APPLICATION_ID 259 ietf m 4 "Acct-Application-Id";
    VENDOR_SPECIFIC_APPLICATION_ID 260 ietf m 0 "Vendor-Specific-Application-Id";
    SESSION_ID 263 ietf m 0 "Session-Id";
    ORIGIN_HOST 264 ietf m 0 "Origin-Host";
    SUPPORTED_VENDOR_ID 265 ietf m 4 "Supported-Vendor-Id";
    VENDOR_ID 266 ietf m 4 "Vendor-Id";
    FIRMWARE_REVISION 267 ietf o 4 "Firmware-Revision";
    RESULT_CODE 268 ietf m 4 "Result-Code";
    PRODUCT_NAME 269 ietf o 0 "Product-Name";
    DISCONNECT_CAUSE 273 ietf m 4 "Disconnect-Cause";
    AUTH_SESSION_STATE 277 ietf m 4 "Auth-Session-State";
    ORIGIN_STATE_ID 278 ietf m 4 "Origin-State-Id";
    FAILED_AVP 279 ietf m 0 "Failed-AVP";
    PROXY_HOST 280 ietf m 0 "Proxy-Host";
    ERROR_MESSAGE 281 ietf o 0 "Error-Message";
    ROUTE_RECORD 282 ietf m 0 "Route-Record";
    DESTINATION_REALM 283 ietf m 0 "Destination-Realm";
    PROXY_INFO 284 ietf m 0 "Proxy-Info";
    DESTINATION_HOST 293 ietf m 0 "Destination-Host";
    ERROR_REPORTING_HOST 294 ietf o 0 "Error-Reporting-Host";
    ORIGIN_REALM 296 ietf m 0 "Origin-Realm";
    EXPERIMENTAL_RESULT 297 ietf m 0 "Experimental-Result";
    EXPERIMENTAL_RESULT_CODE 298 ietf m 4 "Experimental-Result-Code";
    INBAND_SECURITY_ID 299 ietf m 4 "Inband-Security-Id";
    DRMP 301 ietf o 4 "DRMP";
    OC_SUPPORTED_FEATURES 621 ietf o 0 "OC-Supported-Features";
    OC_OLR 623 ietf o 0 "OC-OLR";
    LOAD 650 ietf o 0 "Load";
    VISITED_NETWORK_IDENTIFIER 600 tgpp m 0 "Visited-Network-Identifier";
    PUBLIC_IDENTITY 601 tgpp m 0 "Public-Identity";
    SERVER_NAME 602 tgpp m 0 "Server-Name";
    SERVER_CAPABILITIES 603 tgpp m 0 "Server-Capabilities";
    MANDATORY_CAPABILITY 604 tgpp m 4 "Mandatory-Capability";
    OPTIONAL_CAPABILITY 605 tgpp m 4 "Optional-Capability";
    USER_DATA 606 tgpp m 0 "User-Data";
    SIP_NUMBER_AUTH_ITEMS 607 tgpp m 4 "SIP-Number-Auth-Items";
    SIP_AUTHENTICATION_SCHEME 608 tgpp m 0 "SIP-Authentication-Scheme";
    SIP_AUTHENTICATE 609 tgpp m 0 "SIP-Authenticate";
    SIP_AUTHORIZATION 610 tgpp m 0 "SIP-Authorization";
    SIP_AUTHENTICATION_CONTEXT 611 tgpp m 0 "SIP-Authentication-Context";
    SIP_AUTH_DATA_ITEM 612 tgpp m 0 "SIP-Auth-Data-Item";
    SIP_ITEM_NUMBER 613 tgpp m 4 "SIP-Item-Number";
    SERVER_ASSIGNMENT_TYPE 614 tgpp m 4 "Server-Assignment-Type";
    DEREGISTRATION_REASON 615 tgpp m 0 "Deregistration-Reason";
    REASON_CODE 616 tgpp m 4 "Reason-Code";
    REASON_INFO 617 tgpp m 0 "Reason-Info";
    CHARGING_INFORMATION 618 tgpp m 0 "Charging-Information";
    PRIMARY_EVENT_CHARGING_FUNCTION_NAME 619 tgpp m 0 "Primary-Event-Charging-Function-Name";
    SECONDARY_EVENT_CHARGING_FUNCTION_NAME 620 tgpp m 0 "Secondary-Event-Charging-Function-Name";
    PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME 621 tgpp m 0 "Primary-Charging-Collection-Function-Name";
    SECONDARY_CHARGING_COLLECTION_FUNCTION_NAME 622 tgpp m 0 "Secondary-Charging-Collection-Function-Name";
    USER_AUTHORIZATION_TYPE 623 tgpp m 4 "User-Authorization-Type";
    USER_DATA_ALREADY_AVAILABLE 624 tgpp m 4 "User-Data-Already-Available";
    CONFIDENTIALITY_KEY 625 tgpp m 0 "Confidentiality-Key";
    INTEGRITY_KEY 626 tgpp m 0 "Integrity-Key";
    SUPPORTED_FEATURES 628 tgpp o 0 "Supported-Features";
    FEATURE_LIST_ID 629 tgpp o 4 "Feature-List-ID";
    FEATURE_LIST 630 tgpp o 4 "Feature-List";
    SUPPORTED_APPLICATIONS 631 tgpp o 0 "Supported-Applications";
    ASSOCIATED_IDENTITIES 632 tgpp o 0 "Associated-Identities";
    ORIGINATING_REQUEST 633 tgpp m 4 "Originating-Request";
    WILDCARDED_PUBLIC_IDENTITY 634 tgpp o 0 "Wildcarded-Public-Identity";
    SIP_DIGEST_AUTHENTICATE 635 tgpp o 0 "SIP-Digest-Authenticate";
    WILDCARDED_IMPU 636 tgpp o 0 "Wildcarded-IMPU";
    UAR_FLAGS 637 tgpp o 4 "UAR-Flags";
    LOOSE_ROUTE_INDICATION 638 tgpp o 4 "Loose-Route-Indication";
    SCSCF_RESTORATION_INFO 639 tgpp o 0 "SCSCF-Restoration-Info";
    PATH 640 tgpp o 0 "Path";
    CONTACT 641 tgpp o 0 "Contact";
    SUBSCRIPTION_INFO 642 tgpp o 0 "Subscription-Info";
    CALL_ID_SIP_HEADER 643 tgpp o 0 "Call-ID-SIP-Header";
    FROM_SIP_HEADER 644 tgpp o 0 "From-SIP-Header";
    TO_SIP_HEADER 645 tgpp o 0 "To-SIP-Header";
    RECORD_ROUTE 646 tgpp o 0 "Record-Route";
    ASSOCIATED_REGISTERED_IDENTITIES 647 tgpp o 0 "Associated-Registered-Identities";
    MULTIPLE_REGISTRATION_INDICATION 648 tgpp o 4 "Multiple-Registration-Indication";
    RESTORATION_INFO 649 tgpp o 0 "Restoration-Info";
    SESSION_PRIORITY 650 tgpp o 4 "Session-Priority";
    IDENTITY_WITH_EMERGENCY_REGISTRATION 651 tgpp o 0 "Identity-with-Emergency-Registration";
    PRIVILEDGED_SENDER_INDICATION 652 tgpp o 4 "Priviledged-Sender-Indication";
    LIA_FLAGS 653 tgpp o 4 "LIA-Flags";
    INITIAL_CSEQ_SEQUENCE_NUMBER 654 tgpp o 4 "Initial-CSeq-Sequence-Number";
    SAR_FLAGS 655 tgpp o 4 "SAR-Flags";
    ALLOWED_WAF_WWSF_IDENTITIES 656 tgpp o 0 "Allowed-WAF-WWSF-Identities";
    RTR_FLAGS 659 tgpp o 4 "RTR-Flags";
    P_CSCF_SUBSCRIPTION_INFO 660 tgpp o 0 "P-CSCF-Subscription-Info";
    REGISTRATION_TIME_OUT 661 tgpp o 4 "Registration-Time-Out";
}
