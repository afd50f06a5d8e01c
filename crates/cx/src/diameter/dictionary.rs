//! The AVPs of the base protocol and of Cx that this crate writes, reads, or knows well enough to pass over.

use super::AvpKey;

/// Vendor-Id of 3GPP.
pub const VENDOR_3GPP: u32 = 10415;

/// An AVP and whether it is written with the M flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Definition {
    pub key: AvpKey,
    pub mandatory: bool,
}

macro_rules! dictionary {
    ($($name:ident $code:literal $vendor:ident $flag:ident $text:literal;)*) => {
        $(pub const $name: Definition =
            Definition { key: AvpKey { code: $code, vendor: dictionary!(@$vendor) }, mandatory: dictionary!(@$flag) };)*

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
    USER_NAME 1 ietf m "User-Name";
    PROXY_STATE 33 ietf m "Proxy-State";
    HOST_IP_ADDRESS 257 ietf m "Host-IP-Address";
    AUTH_APPLICATION_ID 258 ietf m "Auth-Application-Id";
    ACCT_APPLICATION_ID 259 ietf m "Acct-Application-Id";
    VENDOR_SPECIFIC_APPLICATION_ID 260 ietf m "Vendor-Specific-Application-Id";
    SESSION_ID 263 ietf m "Session-Id";
    ORIGIN_HOST 264 ietf m "Origin-Host";
    SUPPORTED_VENDOR_ID 265 ietf m "Supported-Vendor-Id";
    VENDOR_ID 266 ietf m "Vendor-Id";
    FIRMWARE_REVISION 267 ietf o "Firmware-Revision";
    RESULT_CODE 268 ietf m "Result-Code";
    PRODUCT_NAME 269 ietf o "Product-Name";
    DISCONNECT_CAUSE 273 ietf m "Disconnect-Cause";
    AUTH_SESSION_STATE 277 ietf m "Auth-Session-State";
    ORIGIN_STATE_ID 278 ietf m "Origin-State-Id";
    FAILED_AVP 279 ietf m "Failed-AVP";
    PROXY_HOST 280 ietf m "Proxy-Host";
    ERROR_MESSAGE 281 ietf o "Error-Message";
    ROUTE_RECORD 282 ietf m "Route-Record";
    DESTINATION_REALM 283 ietf m "Destination-Realm";
    PROXY_INFO 284 ietf m "Proxy-Info";
    DESTINATION_HOST 293 ietf m "Destination-Host";
    ERROR_REPORTING_HOST 294 ietf o "Error-Reporting-Host";
    ORIGIN_REALM 296 ietf m "Origin-Realm";
    EXPERIMENTAL_RESULT 297 ietf m "Experimental-Result";
    EXPERIMENTAL_RESULT_CODE 298 ietf m "Experimental-Result-Code";
    INBAND_SECURITY_ID 299 ietf m "Inband-Security-Id";
    DRMP 301 ietf o "DRMP";
    OC_SUPPORTED_FEATURES 621 ietf o "OC-Supported-Features";
    OC_OLR 623 ietf o "OC-OLR";
    VISITED_NETWORK_IDENTIFIER 600 tgpp m "Visited-Network-Identifier";
    PUBLIC_IDENTITY 601 tgpp m "Public-Identity";
    SERVER_NAME 602 tgpp m "Server-Name";
    SERVER_CAPABILITIES 603 tgpp m "Server-Capabilities";
    MANDATORY_CAPABILITY 604 tgpp m "Mandatory-Capability";
    OPTIONAL_CAPABILITY 605 tgpp m "Optional-Capability";
    USER_DATA 606 tgpp m "User-Data";
    SIP_NUMBER_AUTH_ITEMS 607 tgpp m "SIP-Number-Auth-Items";
    SIP_AUTHENTICATION_SCHEME 608 tgpp m "SIP-Authentication-Scheme";
    SIP_AUTHENTICATE 609 tgpp m "SIP-Authenticate";
    SIP_AUTHORIZATION 610 tgpp m "SIP-Authorization";
    SIP_AUTHENTICATION_CONTEXT 611 tgpp m "SIP-Authentication-Context";
    SIP_AUTH_DATA_ITEM 612 tgpp m "SIP-Auth-Data-Item";
    SIP_ITEM_NUMBER 613 tgpp m "SIP-Item-Number";
    SERVER_ASSIGNMENT_TYPE 614 tgpp m "Server-Assignment-Type";
    DEREGISTRATION_REASON 615 tgpp m "Deregistration-Reason";
    REASON_CODE 616 tgpp m "Reason-Code";
    REASON_INFO 617 tgpp m "Reason-Info";
    CHARGING_INFORMATION 618 tgpp m "Charging-Information";
    PRIMARY_CHARGING_COLLECTION_FUNCTION_NAME 621 tgpp m "Primary-Charging-Collection-Function-Name";
    USER_AUTHORIZATION_TYPE 623 tgpp m "User-Authorization-Type";
    USER_DATA_ALREADY_AVAILABLE 624 tgpp m "User-Data-Already-Available";
    CONFIDENTIALITY_KEY 625 tgpp m "Confidentiality-Key";
    INTEGRITY_KEY 626 tgpp m "Integrity-Key";
    SUPPORTED_FEATURES 628 tgpp o "Supported-Features";
    FEATURE_LIST_ID 629 tgpp o "Feature-List-ID";
    FEATURE_LIST 630 tgpp o "Feature-List";
    ASSOCIATED_IDENTITIES 632 tgpp o "Associated-Identities";
    ORIGINATING_REQUEST 633 tgpp m "Originating-Request";
    WILDCARDED_PUBLIC_IDENTITY 634 tgpp o "Wildcarded-Public-Identity";
    UAR_FLAGS 637 tgpp o "UAR-Flags";
    LOOSE_ROUTE_INDICATION 638 tgpp o "Loose-Route-Indication";
    SCSCF_RESTORATION_INFO 639 tgpp o "SCSCF-Restoration-Info";
    PATH 640 tgpp o "Path";
    CONTACT 641 tgpp o "Contact";
    SUBSCRIPTION_INFO 642 tgpp o "Subscription-Info";
    CALL_ID_SIP_HEADER 643 tgpp o "Call-ID-SIP-Header";
    FROM_SIP_HEADER 644 tgpp o "From-SIP-Header";
    TO_SIP_HEADER 645 tgpp o "To-SIP-Header";
    RECORD_ROUTE 646 tgpp o "Record-Route";
    MULTIPLE_REGISTRATION_INDICATION 648 tgpp o "Multiple-Registration-Indication";
    RESTORATION_INFO 649 tgpp o "Restoration-Info";
    SESSION_PRIORITY 650 tgpp o "Session-Priority";
    IDENTITY_WITH_EMERGENCY_REGISTRATION 651 tgpp o "Identity-with-Emergency-Registration";
    LIA_FLAGS 653 tgpp o "LIA-Flags";
    INITIAL_CSEQ_SEQUENCE_NUMBER 654 tgpp o "Initial-CSeq-Sequence-Number";
    SAR_FLAGS 655 tgpp o "SAR-Flags";
    P_CSCF_SUBSCRIPTION_INFO 660 tgpp o "P-CSCF-Subscription-Info";
}
